//! GET /api/openapi.json
use super::feed::News;
use super::problem::Refused;
use super::ws::Listen;
use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

/// What stands in the document beside the paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "MagicWave, the local API", description = "For programs of the user who runs the daemon: docs/api.md."),
    components(schemas(News, Listen, Refused)),
    security(("token" = [])),
    modifiers(&Token)
)]
struct About;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

pub(super) fn about() -> OpenApi {
    About::openapi()
}

/// The document of all paths (OpenAPI 3.1), made from the routes that are served.
pub fn document() -> OpenApi {
    let mut document = super::routes().split_for_parts().1;
    let refused = ContentBuilder::new().schema(Some(Ref::from_schema_name("Refused"))).build();
    let refused = ResponseBuilder::new().description("Refused").content("application/json", refused).build();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.put].into_iter().flatten() {
            operation.responses.responses.insert("default".into(), refused.clone().into());
        }
    }
    document
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", responses((status = 200, body = Object)))]
pub(super) async fn get() -> Json<OpenApi> {
    Json(document())
}
