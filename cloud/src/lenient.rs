//! What replies are forgiven: types that read everything the API has been seen to write for a thing.
//!
//! Numbers come as text, arrays as `{"X": […]}` or without the inner array, absent structs as `{}`, as
//! empty text or as null. All of that reads as what it means, and what is not there as empty; whether
//! something is essential is for the caller to say.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A text; a number or a boolean reads as its text, everything else as empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl Text {
    /// The text, unless it is empty.
    pub fn some(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

/// A count; text that reads as one counts, everything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

/// A boolean, also as text or number; everything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

/// The rows of `{"X": […]}`, of `{}`, or of a plain array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A struct; what is no object reads as one with nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

/// Anything but a composite.
enum Scalar<'a> {
    None,
    Bool(bool),
    Number(serde_json::Number),
    Text(std::borrow::Cow<'a, str>),
}

struct Scalars<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for Scalars<'de> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Scalar::None, Scalar::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(value.to_owned().into()))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Scalar::None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::None)
    }
}

fn scalar<'de, D: Deserializer<'de>>(from: D) -> Result<Scalar<'de>, D::Error> {
    from.deserialize_any(Scalars(PhantomData))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match scalar(from)? {
            Scalar::None => String::new(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Number(value) => value.to_string(),
            Scalar::Text(value) => value.into_owned(),
        }))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match scalar(from)? {
            Scalar::None | Scalar::Bool(_) => None,
            // `3.0` is a number of things, too; `3.5` and `-1` are none.
            Scalar::Number(value) => value.as_u64().or_else(|| whole(value.as_f64()?)),
            Scalar::Text(value) => value.trim().parse().ok(),
        }))
    }
}

fn whole(value: f64) -> Option<u64> {
    // Beyond 2^53 a float counts no single things.
    (value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value)).then_some(value as u64)
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(match scalar(from)? {
            Scalar::Bool(value) => Some(value),
            Scalar::Number(value) => value.as_u64().map(|value| value != 0),
            Scalar::Text(value) if value.eq_ignore_ascii_case("true") => Some(true),
            Scalar::Text(value) if value.eq_ignore_ascii_case("false") => Some(false),
            Scalar::Text(_) | Scalar::None => None,
        }))
    }
}

/// Everything that is neither array nor object reads as nothing.
macro_rules! scalars_are_nothing {
    () => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Rows::<T, true>(PhantomData))
    }
}

/// Reads an array, and where `WRAPPED` also one within an object; deeper is never looked.
struct Rows<T, const WRAPPED: bool>(PhantomData<T>);

/// The array within.
struct Inner<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Inner<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Rows::<T, false>(PhantomData)).map(|list| Self(list.0))
    }
}

impl<'de, T: Deserialize<'de>, const WRAPPED: bool> Visitor<'de> for Rows<T, WRAPPED> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an array in it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element()? {
            rows.push(row);
        }
        Ok(List(rows))
    }

    /// The name of the inner array follows from that of the outer one and says nothing more.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
        let mut rows = Vec::new();
        while map.next_key::<IgnoredAny>()?.is_some() {
            if WRAPPED {
                rows.append(&mut map.next_value::<Inner<T>>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(List(rows))
    }

    scalars_are_nothing!();
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Object<T>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Object::default())
    }

    scalars_are_nothing!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> T {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn texts_numbers_and_flags_read_from_whatever_says_the_same() {
        assert_eq!(
            read::<Vec<Text>>(r#"["a", 7, true, null, [], {"a": 1}]"#).map_text(),
            ["a", "7", "true", "", "", ""]
        );
        let numbers = read::<Vec<Number>>(r#"[3, "4", " 5 ", 6.0, "", null, -1, 1.5, true, "x", [], 1e300]"#);
        let numbers: Vec<_> = numbers.into_iter().map(|number| number.0).collect();
        assert_eq!(numbers[..4], [Some(3), Some(4), Some(5), Some(6)]);
        assert!(numbers[4..].iter().all(Option::is_none), "{numbers:?}");
        let flags = read::<Vec<Flag>>(r#"[true, "True", 1, false, "false", 0, "", null, {}, "yes"]"#);
        let flags: Vec<_> = flags.into_iter().map(|flag| flag.0).collect();
        assert_eq!(flags[..6], [Some(true), Some(true), Some(true), Some(false), Some(false), Some(false)]);
        assert!(flags[6..].iter().all(Option::is_none), "{flags:?}");
    }

    #[test]
    fn a_list_reads_wrapped_plain_and_absent() {
        for json in
            [r#"{"X": ["a", 1]}"#, r#"["a", 1]"#, r#"{"Total": 2, "X": ["a", 1], "Y": {"Z": ["no"]}}"#]
        {
            assert_eq!(read::<List<Text>>(json).0.map_text(), ["a", "1"], "{json}");
        }
        for json in ["{}", "null", "\"\"", "0", "false", r#"{"X": null}"#, r#"{"X": {}}"#, r#"{"X": ""}"#] {
            assert!(read::<List<Text>>(json).0.is_empty(), "{json}");
        }
    }

    #[test]
    fn an_object_that_is_none_reads_as_an_empty_one() {
        #[derive(Debug, Default, Deserialize, PartialEq)]
        #[serde(default)]
        struct One {
            a: Number,
        }
        assert_eq!(read::<Object<One>>(r#"{"a": "1", "b": 2}"#).0, One { a: Number(Some(1)) });
        for json in ["{}", "null", "\"\"", "[]", "3"] {
            assert_eq!(read::<Object<One>>(json).0, One::default(), "{json}");
        }
    }

    trait Texts {
        fn map_text(self) -> Vec<String>;
    }

    impl Texts for Vec<Text> {
        fn map_text(self) -> Vec<String> {
            self.into_iter().map(|text| text.0).collect()
        }
    }
}
