-- The times that were here can be had again by importing.
SELECT 1;
