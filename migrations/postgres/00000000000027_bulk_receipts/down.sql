DROP TABLE bulk_acknowledgement;
