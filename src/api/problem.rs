//! Refusals: every one is JSON, `{code, text}`, with a stable code.
use crate::error::{Error, Retry};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refused {
    /// Stable, e.g. `MW-API-4`.
    pub code: String,
    /// What happened, why, and what to do.
    pub text: String,
}

/// A refusal and its http status.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    refused: Refused,
}

/// What a handler returns.
pub(super) type Answer<T> = Result<Json<T>, Problem>;

impl Problem {
    /// With a code of the API's own.
    pub(super) fn new(status: StatusCode, code: &str, text: impl Into<String>) -> Self {
        Problem { status, refused: Refused { code: code.into(), text: text.into() } }
    }

    /// `MW-API-12`: a parameter or a body that cannot be meant.
    pub(super) fn unfit(text: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "MW-API-12", text)
    }

    /// What axum refused before a handler saw it.
    fn rejected(status: StatusCode, why: String) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "MW-API-10",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "MW-API-11",
            _ => "MW-API-12",
        };
        Problem::new(status, code, why)
    }
}

impl From<Error> for Problem {
    /// What may be gone later is 503, the rest 422.
    fn from(e: Error) -> Self {
        let status = match e.retry {
            Retry::Later => StatusCode::SERVICE_UNAVAILABLE,
            Retry::Never => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem::new(status, e.code, e.text)
    }
}

impl From<Error> for Refused {
    fn from(e: Error) -> Self {
        Refused { code: e.code.into(), text: e.text }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.refused)).into_response()
    }
}

/// The query of a request, refused in our form.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::from_request_parts(parts, state).await;
        asked.map(|Query(query)| Asked(query)).map_err(|e: QueryRejection| Problem::rejected(e.status(), e.body_text()))
    }
}

/// The JSON body of a request, refused in our form.
pub(super) struct Told<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Told<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let refuse = |e: JsonRejection| Problem::rejected(e.status(), e.body_text());
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let bytes = bytes.map_err(|e| Problem::rejected(e.status(), e.body_text()))?;
        // Whether it is JSON at all, and says so.
        let whole = Request::from_parts(parts, Body::from(bytes.clone()));
        let Json(IgnoredAny) = Json::from_request(whole, state).await.map_err(refuse)?;
        match Json::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Told(body)),
            Err(JsonRejection::JsonSyntaxError(e)) => Err(no_choice::<T>(&e.body_text())),
            Err(e) => Err(refuse(e)),
        }
    }
}

/// JSON that names none of the keys of which `T` wants one: the parser takes it for no JSON, and says nothing of them.
fn no_choice<T: DeserializeOwned>(why: &str) -> Problem {
    let keys = Json::<T>::from_bytes(br#"{"":null}"#).err().map(|e| e.body_text()).unwrap_or_default();
    let text = match keys.split_once("expected ").and_then(|(_, keys)| keys.split_once(" at line ")) {
        Some((keys, _)) => format!("The body is JSON, but a key is missing or is not the only one: {keys}"),
        None => why.to_owned(),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "MW-API-12", text)
}
