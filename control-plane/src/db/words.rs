//! Words in columns: an enum in the program, a checked text in the database.

/// Reads and writes an enum as the words of a column, and lists all of them.
#[macro_export]
macro_rules! column_words {
    ($type:ident, $column:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        impl $type {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As the database has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl ::std::str::FromStr for $type {
            type Err = $crate::db::Error;
            fn from_str(text: &str) -> Result<Self, $crate::db::Error> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err($crate::db::Error::Column($column)) }
            }
        }
    };
}
