//! Field and label selectors.
//!
//! The one of every agent, `spec.nodeName=<node>`, is what watches are
//! indexed by, so a selector can say which node or name it pins.

use std::sync::Arc;

use super::error::ApiError;
use super::object::Object;

/// Conditions that all hold for the objects of a list or watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    namespace: Option<Arc<str>>,
    fields: Vec<FieldTerm>,
    labels: Vec<LabelTerm>,
}

#[derive(Debug, Clone)]
struct FieldTerm {
    field: Field,
    value: Arc<str>,
    equal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Node,
    Phase,
}

#[derive(Debug, Clone)]
struct LabelTerm {
    key: String,
    test: LabelTest,
}

#[derive(Debug, Clone)]
enum LabelTest {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Parses the two query parameters; the namespace is from the path.
    pub(super) fn parse(
        namespace: Option<&str>,
        fields: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Self, ApiError> {
        let fields = fields.unwrap_or_default().split(',').filter(|term| !term.is_empty());
        Ok(Self {
            namespace: namespace.map(Arc::from),
            fields: fields.map(field_term).collect::<Result<_, _>>()?,
            labels: split_terms(labels.unwrap_or_default()).map(label_term).collect::<Result<_, _>>()?,
        })
    }

    /// Whether the object is selected.
    pub(super) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == object.key.namespace)
            && self.fields.iter().all(|term| term.matches(object))
            && self.labels.iter().all(|term| term.matches(object))
    }

    /// The namespace that all selected objects are in.
    pub(super) fn namespace(&self) -> Option<&Arc<str>> {
        self.namespace.as_ref().or_else(|| self.pinned(Field::Namespace))
    }

    /// The node that all selected objects are on.
    pub(super) fn node(&self) -> Option<&Arc<str>> {
        self.pinned(Field::Node).filter(|node| !node.is_empty())
    }

    /// The name that all selected objects have.
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.pinned(Field::Name)
    }

    fn pinned(&self, field: Field) -> Option<&Arc<str>> {
        self.fields.iter().find(|term| term.field == field && term.equal).map(|term| &term.value)
    }
}

impl FieldTerm {
    fn matches(&self, object: &Object) -> bool {
        let value = match self.field {
            Field::Name => &*object.key.name,
            Field::Namespace => &*object.key.namespace,
            Field::Node => object.node.as_deref().unwrap_or_default(),
            Field::Phase => &*object.phase,
        };
        (*value == *self.value) == self.equal
    }
}

fn field_term(term: &str) -> Result<FieldTerm, ApiError> {
    let (path, value, equal) = if let Some((path, value)) = term.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (path, value, true)
    } else {
        return Err(ApiError::bad_request(format!("invalid field selector: `{term}`")));
    };
    let field = match path.trim() {
        "metadata.name" => Field::Name,
        "metadata.namespace" => Field::Namespace,
        "spec.nodeName" => Field::Node,
        "status.phase" => Field::Phase,
        other => return Err(ApiError::bad_request(format!("field label not supported: {other}"))),
    };
    Ok(FieldTerm { field, value: Arc::from(value.trim()), equal })
}

impl LabelTerm {
    fn matches(&self, object: &Object) -> bool {
        let value = object.label(&self.key);
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Absent => value.is_none(),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            // An object without the label is "not in", as upstream.
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
        }
    }
}

/// Splits at the commas that are not inside the parentheses of a set.
fn split_terms(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
}

fn label_term(term: &str) -> Result<LabelTerm, ApiError> {
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, test) = if let Some(set) = term.strip_suffix(')') {
        let (head, values) = set
            .split_once('(')
            .ok_or_else(|| ApiError::bad_request(format!("invalid label selector: `{term}`")))?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => (key, LabelTest::In(values)),
            [key, "notin"] => (key, LabelTest::NotIn(values)),
            _ => return Err(ApiError::bad_request(format!("invalid label selector: `{term}`"))),
        }
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, LabelTest::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, LabelTest::In(one(value)))
    } else if let Some(key) = term.strip_prefix('!') {
        (key, LabelTest::Absent)
    } else {
        (term, LabelTest::Exists)
    };
    Ok(LabelTerm { key: key.trim().to_owned(), test })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(fields: &str, labels: &str) -> bool {
        let mut value = json!({
            "metadata": { "name": "p", "namespace": "ns", "uid": "u", "labels": { "app": "web", "tier": "1" } },
            "spec": { "nodeName": "n1" }, "status": { "phase": "Running" },
        });
        let object = Object::seal(&mut value, 1).expect("a valid pod");
        Selector::parse(Some("ns"), Some(fields), Some(labels)).expect("a valid selector").matches(&object)
    }

    #[test]
    fn selectors_select() {
        assert!(selects("spec.nodeName=n1,metadata.name==p", "app=web"));
        assert!(!selects("spec.nodeName=n2", ""));
        assert!(selects("status.phase!=Failed", "app in (api, web),tier"));
        assert!(!selects("", "app notin (api,web)"));
        assert!(selects("", "!absent,absent!=x"));
        assert!(Selector::parse(None, Some("spec.hostNetwork=true"), None).is_err());
    }
}
