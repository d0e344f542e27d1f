//! Parameters of a request: from the query and a form body, by name, each used once.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Display,
    str::FromStr,
};

use super::fault::Fault;

/// Most parameters of one request: a describe of a hundred ENIs with all filters has fewer.
const MOST: usize = 1_000;
/// Parameters that every action takes and that change nothing here.
const IGNORED: &[&str] =
    &["OwnerAccount", "OwnerId", "ResourceOwnerAccount", "ResourceOwnerId", "SourceRegionId"];

/// Parameters that were not used yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Parameters of a query and of a form, both percent-encoded.
    pub fn parse(query: &str, form: &[u8]) -> Result<Self, Fault> {
        let mut params = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(form)) {
            if params.len() == MOST {
                return Err(Fault::new("InvalidParameter", format!("at most {MOST} parameters")));
            }
            match params.entry(name.into_owned()) {
                Entry::Vacant(place) => drop(place.insert(value.into_owned())),
                Entry::Occupied(place) => {
                    return Err(Fault::invalid("parameter", place.key(), "each parameter is given once"));
                }
            }
        }
        Ok(Self(params))
    }

    /// All of them, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter that others will use.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Takes out what belongs to the calling convention. Answers are JSON: other formats are refused.
    pub fn drop_convention(&mut self) -> Result<(), Fault> {
        for name in ["Action", "Version"] {
            self.0.remove(name);
        }
        match self.text("Format") {
            Some(format) if !format.eq_ignore_ascii_case("json") => {
                Err(Fault::invalid("Format", &format, "JSON is what this endpoint answers with"))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is such a parameter.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A parameter; an empty one counts as none, as the API has it.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub fn required(&mut self, name: &str) -> Result<String, Fault> {
        self.text(name).ok_or_else(|| Fault::missing(name))
    }

    /// A parameter with a value that reads as `T`.
    pub fn read<T: FromStr>(&mut self, name: &str, allowed: &str) -> Result<Option<T>, Fault> {
        self.text(name)
            .map(|value| value.parse().map_err(|_| Fault::invalid(name, &value, allowed)))
            .transpose()
    }

    /// A number within bounds.
    pub fn number<T>(&mut self, name: &str, bounds: std::ops::RangeInclusive<T>) -> Result<Option<T>, Fault>
    where
        T: FromStr + PartialOrd + Display,
    {
        let allowed = format!("a number from {} to {}", bounds.start(), bounds.end());
        let number: Option<T> = self.read(name, &allowed)?;
        match number {
            Some(number) if !bounds.contains(&number) => {
                Err(Fault::invalid(name, &number.to_string(), &allowed))
            }
            number => Ok(number),
        }
    }

    /// A parameter for which this cloud has one value only: saying it is fine, asking for another is not.
    pub fn fixed(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        match self.text(name) {
            Some(other) if other != value => {
                Err(Fault::invalid(name, &other, &format!("here it is {value}")))
            }
            _ => Ok(()),
        }
    }

    /// `Name.1`, `Name.2` … without gaps.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        (1..).map_while(|index| self.0.remove(&format!("{name}.{index}"))).collect()
    }

    /// `Name.1`, `Name.2` …, each read as `T`.
    pub fn read_list<T: FromStr>(&mut self, name: &str, allowed: &str) -> Result<Vec<T>, Fault> {
        let read = |value: String| value.parse().map_err(|_| Fault::invalid(name, &value, allowed));
        self.list(name).into_iter().map(read).collect()
    }

    /// `Tag.1.Key`, `Tag.1.Value` …; a tag without a value has an empty one.
    pub fn tags(&mut self) -> Vec<(String, String)> {
        let mut tags = Vec::new();
        while let Some(key) = self.0.remove(&format!("Tag.{}.Key", tags.len() + 1)) {
            let value = self.0.remove(&format!("Tag.{}.Value", tags.len() + 1)).unwrap_or_default();
            tags.push((key, value));
        }
        tags
    }

    /// A JSON array of texts in one parameter, as `SecurityGroupIds` is.
    pub fn json_list(&mut self, name: &str) -> Result<Vec<String>, Fault> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|_| Fault::invalid(name, &text, "a JSON array of texts"))
    }

    /// Nothing may be left that was not looked at: what has no effect here is refused, not ignored.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.0.keys().find(|name| !IGNORED.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let message = format!("The parameter \"{name}\" is not supported by this endpoint.");
                Err(Fault::new("UnsupportedParameter", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query, b"").expect("fine")
    }

    #[test]
    fn lists_end_at_the_first_gap_and_the_rest_is_refused() {
        let mut params = params("Ip.1=a&Ip.2=b&Ip.4=d");
        assert_eq!(params.list("Ip"), ["a", "b"]);
        let fault = params.finish().expect_err("Ip.4 is left");
        assert_eq!(fault.code, "UnsupportedParameter");
        assert!(fault.message.contains("Ip.4"), "{fault}");
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        assert!(Params::parse("A=1&A=2", b"").is_err());
        assert!(Params::parse("A=1", b"A=2").is_err());
    }

    #[test]
    fn plus_and_percent_are_a_space() {
        assert_eq!(params("A=x+y%20z").text("A").as_deref(), Some("x y z"));
    }

    #[test]
    fn numbers_keep_their_bounds() {
        let most = |query: &str| params(query).number("MaxResults", 1..=500u32);
        assert_eq!(most("MaxResults=500"), Ok(Some(500)));
        assert_eq!(most(""), Ok(None));
        for bad in ["0", "501", "-1", "ten", "1e2"] {
            let fault = most(&format!("MaxResults={bad}")).expect_err(bad);
            assert!(fault.message.contains("from 1 to 500"), "{fault}");
        }
    }
}
