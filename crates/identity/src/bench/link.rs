//! Linking two files record by record.
