DROP TABLE search_state;
DROP INDEX resource_kind;
DROP TABLE search_date;
DROP TABLE search_value;
