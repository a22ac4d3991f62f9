//! Functions of SQL that both databases have and the library does not name.

use diesel::sql_types::{Binary, Integer, Nullable, Text};

diesel::define_sql_function! {
    /// The first argument that is not NULL. When the released form is selected this way, the stored body is not even read.
    fn coalesce(first: Nullable<Binary>, second: Binary) -> Binary;
}

diesel::define_sql_function! {
    /// The first argument that is not NULL.
    #[sql_name = "COALESCE"]
    fn coalesce_text(first: Nullable<Text>, second: Text) -> Text;
}

diesel::define_sql_function! {
    /// The number of bytes. Neither database reads the value for it.
    fn length(bytes: Binary) -> Integer;
}

diesel::define_sql_function! {
    /// The number of bytes, if there is a value.
    #[sql_name = "length"]
    fn length_if_any(bytes: Nullable<Binary>) -> Nullable<Integer>;
}

diesel::define_sql_function! {
    /// The first argument that is not NULL.
    #[sql_name = "coalesce"]
    fn coalesce_length(first: Nullable<Integer>, second: Integer) -> Integer;
}
