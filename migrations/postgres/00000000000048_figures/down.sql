DROP INDEX exchange_due;
DROP INDEX exchange_answer_due;
DROP TABLE figure_state;
DROP TABLE business_figure;
