//! How `torch.export` writes Python values in JSON: helpers for the schema types, and errors that carry the
//! path of the offending value.
//!
//! A dataclass is an object with all its fields (`None` is `null`); a union is an object with exactly one key,
//! which is serde's external tagging; an enumeration is its number; a float that JSON cannot express is one of
//! the strings `"Infinity"`, `"-Infinity"` and `"NaN"`.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a JSON document is not what the schema says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON at all, or nested deeper than [`crate::limits::MAX_JSON_DEPTH`].
    #[error("{document}:{line}:{column}: not well-formed JSON: {reason}")]
    Syntax {
        /// The archive entry.
        document: String,
        /// Line in it, from 1.
        line: usize,
        /// Column in it, from 1.
        column: usize,
        /// In the JSON reader's words.
        reason: String,
    },
    /// A value of another type than the schema's, an unknown union tag or enumeration number, a missing field.
    #[error("{document}: at {path}: {reason}")]
    Value {
        /// The archive entry.
        document: String,
        /// Where, such as `graph_module.graph.nodes[17].inputs[2].arg`.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// A schema that this reader does not know.
    #[error(
        "{document}: schema version {found} is not supported; this reader knows 1 to 8, written by PyTorch 2.1 and later"
    )]
    Version {
        /// The archive entry.
        document: String,
        /// As written there.
        found: String,
    },
}

impl SchemaError {
    /// A [`SchemaError::Value`].
    pub fn value(document: impl Into<String>, path: impl Into<String>, reason: impl Into<String>) -> Self {
        SchemaError::Value { document: document.into(), path: path.into(), reason: reason.into() }
    }
}

/// Reads one JSON document into a schema type.
///
/// # Errors
/// [`SchemaError::Syntax`] and [`SchemaError::Value`].
pub fn from_json<T: DeserializeOwned>(document: &str, bytes: &[u8]) -> Result<T, SchemaError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(
        |error: serde_path_to_error::Error<serde_json::Error>| {
            let path = error.path().to_string();
            located(document, &path, error.inner())
        },
    )?;
    reader.end().map_err(|error| located(document, ".", &error))?;
    Ok(value)
}

/// [`from_json`] of a document that is parsed already.
///
/// # Errors
/// [`SchemaError::Value`].
pub fn from_value<T: DeserializeOwned>(document: &str, value: serde_json::Value) -> Result<T, SchemaError> {
    serde_path_to_error::deserialize(value).map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        SchemaError::value(document, error.path().to_string(), error.inner().to_string())
    })
}

fn located(document: &str, path: &str, error: &serde_json::Error) -> SchemaError {
    let reason = error.to_string();
    match error.classify() {
        serde_json::error::Category::Data => SchemaError::value(document, path, reason),
        _ => SchemaError::Syntax { document: document.to_owned(), line: error.line(), column: error.column(), reason },
    }
}

/// Declares an enumeration that is its number in JSON.
macro_rules! int_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant = $number),+ }

        impl $name {
            /// The value of a number in the file.
            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some($name::$variant),)+ _ => None }
            }

            /// The number in the file.
            pub fn number(self) -> i64 {
                self as i64
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.number())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = <i64 as serde::Deserialize>::deserialize(deserializer)?;
                $name::from_number(number).ok_or_else(|| {
                    serde::de::Error::custom(format!(concat!("unknown ", stringify!($name), " number {}"), number))
                })
            }
        }
    };
}
pub(crate) use int_enum;

/// A float as torch writes it. Compares and hashes by its bits, so that `NaN` equals itself.
#[derive(Clone, Copy, Debug)]
pub struct Float(pub f64);

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Float {}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else if self.0 == f64::INFINITY {
            serializer.serialize_str("Infinity")
        } else if self.0 == f64::NEG_INFINITY {
            serializer.serialize_str("-Infinity")
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Float, D::Error> {
        // By way of `Value`, whose numbers keep their digits: the direct way can be one unit in the last place off.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => number
                .as_f64()
                .map(Float)
                .ok_or_else(|| D::Error::custom(format!("{number} is out of range for a float"))),
            serde_json::Value::String(text) => match text.as_str() {
                "Infinity" => Ok(Float(f64::INFINITY)),
                "-Infinity" => Ok(Float(f64::NEG_INFINITY)),
                "NaN" => Ok(Float(f64::NAN)),
                _ => Err(D::Error::custom(format!(
                    "{text:?} is not a float (\"Infinity\", \"-Infinity\" and \"NaN\" are the only strings)"
                ))),
            },
            other => Err(D::Error::custom(format!("expected a float, found {}", kind(&other)))),
        }
    }
}

/// What kind of JSON value this is, for messages.
fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "an array",
        serde_json::Value::Object(_) => "an object",
    }
}

/// Objects used as maps: order kept, a repeated key refused. For `#[serde(with = "unique_map")]`.
pub mod unique_map {
    use super::*;

    /// Writes the map in its order.
    pub fn serialize<V: Serialize, S: Serializer>(map: &IndexMap<String, V>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map)
    }

    /// Reads the map in the file's order.
    pub fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<IndexMap<String, V>, D::Error> {
        deserializer.deserialize_map(UniqueMap(PhantomData))
    }

    struct UniqueMap<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueMap<V> {
        type Value = IndexMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = IndexMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                match map.entry(key) {
                    indexmap::map::Entry::Vacant(slot) => {
                        slot.insert(value);
                    }
                    indexmap::map::Entry::Occupied(slot) => {
                        return Err(A::Error::custom(format!("the key {:?} occurs twice", slot.key())));
                    }
                }
            }
            Ok(map)
        }
    }
}
