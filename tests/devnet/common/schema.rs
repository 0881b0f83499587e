//! Holds answers of the API against its own document.
use serde_json::{Value, json};

/// What in an answer is not of the form that the document has for it; extra fields count.
pub fn faults(document: &Value, method: &str, path: &str, answer: &Value) -> Vec<String> {
    let (method, path) = (method.to_lowercase(), path.replace('/', "~1"));
    let place = format!("/paths/{path}/{method}/responses/200/content/application~1json/schema");
    let schema = document.pointer(&place).unwrap_or_else(|| panic!("nothing at {place}"));
    let mut components = document["components"].clone();
    for schema in components["schemas"].as_object_mut().expect("schemas").values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
    found(schema, components, answer)
}

/// The same for a schema by its name, as it is.
pub fn faults_of(document: &Value, name: &str, value: &Value) -> Vec<String> {
    found(&json!({"$ref": format!("#/components/schemas/{name}")}), document["components"].clone(), value)
}

fn found(schema: &Value, components: Value, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["components"] = components;
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}
