//! Requests that other sites have a browser make. A browser that was once given a token sends it along with whatever any page has it ask, so those
//! requests are refused; that somebody follows a link to the hub is well.

use http::header::ORIGIN;
use http::{HeaderMap, Method};

use crate::hub::repository::refusal;
use crate::store::hub::protocol::{Reason, Refusal};

/// Refuses what a page of another site asks for. Programs say nothing of sites.
pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let said = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let elsewhere = matches!(said("sec-fetch-site"), Some(site) if site != b"same-origin" && site != b"none");
    let follows_link = reads && said("sec-fetch-mode") == Some(b"navigate") && said("sec-fetch-dest") == Some(b"document");
    // The hub's own pages have nothing that sends anything.
    if (elsewhere && !follows_link) || (!reads && headers.contains_key(ORIGIN)) {
        return Err(refusal(Reason::Forbidden, "a page in a browser asks for this, and pages change nothing here"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(method: Method, headers: &[(&str, &str)]) -> bool {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        check(&method, &headers).is_ok()
    }

    #[test]
    fn programs_and_people_may_ask_and_pages_of_others_may_not() {
        assert!(allows(Method::POST, &[]) && allows(Method::GET, &[]));
        assert!(allows(Method::GET, &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(allows(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(allows(Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]));
        for site in ["cross-site", "same-site", "anything"] {
            assert!(
                !allows(Method::GET, &[("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]),
                "{site}"
            );
            assert!(
                !allows(Method::GET, &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]),
                "{site}"
            );
            assert!(
                !allows(Method::POST, &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]),
                "{site}"
            );
        }
        for origin in ["https://evil.example", "null"] {
            assert!(!allows(Method::POST, &[("origin", origin)]) && !allows(Method::DELETE, &[("origin", origin)]));
        }
        assert!(allows(Method::GET, &[("origin", "https://grafana.example")]), "it cannot read the answer");
    }
}
