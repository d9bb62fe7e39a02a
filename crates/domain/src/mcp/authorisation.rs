//! How a server comes to know who asks (OAuth 2.1, as MCP has it:
//! <https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization>).

/// A step of authorising a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorisation {
    /// Begins; the answer's text is the address that somebody must open.
    Start {
        /// Where that page leads back to.
        redirect_uri: String,
        /// As whom, when somebody has registered us there.
        client_id: Option<String>,
        client_secret: Option<String>,
    },
    /// What the page led back with.
    Complete(Callback),
    Status,
    /// Authorises Clara herself, as a machine that nobody opens a page for. `secret` is a private
    /// key in PEM where `algorithm` says how it signs.
    Machine {
        client_id: String,
        secret: String,
        algorithm: Option<String>,
    },
    /// Authorises her for a person for whom their identity provider vouches.
    Enterprise {
        client_id: String,
        /// Empty where she has none.
        secret: String,
        provider: VouchedBy,
    },
    /// Tokens that somebody has from elsewhere.
    SetToken {
        access_token: String,
        refresh_token: Option<String>,
    },
}

/// What a page led back with that authorised a server (RFC 6749, 4.1.2; RFC 9207).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callback {
    pub code: String,
    pub state: String,
    pub issuer: Option<String>,
    /// Why the page gave no code, in its own words (RFC 6749, 4.1.2.1); anybody's.
    pub refusal: Option<String>,
}

/// Reads it from the whole address that the page led to, or takes the code with its state.
pub fn callback(code: &str, state: &str) -> Callback {
    let Some((_, query)) = code.trim().split_once('?') else {
        return Callback { code: code.trim().to_owned(), state: state.trim().to_owned(), ..Callback::default() };
    };
    let query = query.split('#').next().unwrap_or_default();
    let mut found = Callback::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "code" => found.code = decoded(value),
            "state" => found.state = decoded(value),
            "iss" => found.issuer = Some(decoded(value)),
            "error" => found.refusal = Some(decoded(value)),
            _ => {}
        }
    }
    found
}

/// A value of a query, without its percent-encoding.
fn decoded(value: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        (plain, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                plain.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                (plain, after)
            }
            (b'+', after) => {
                plain.push(b' ');
                (plain, after)
            }
            (other, after) => {
                plain.push(*other);
                (plain, after)
            }
        };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// An identity provider, and what it gave that lets it vouch for a person. Holds secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VouchedBy {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// An ID token, or what renews one.
    pub token: String,
    pub is_refresh: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_led_back_with_is_read_from_its_address() {
        let issuer = Some("https://as.example".to_owned());
        let expected = Callback { code: "a b/c".into(), state: "x=y".into(), issuer, refusal: None };
        let address = "http://127.0.0.1:1/callback?code=a+b%2Fc&state=x%3Dy&iss=https%3A%2F%2Fas.example#z";
        assert_eq!(callback(address, ""), expected);
        assert_eq!(
            callback(" abc ", "def"),
            Callback { code: "abc".into(), state: "def".into(), ..Callback::default() }
        );
        let refused = Callback { refusal: Some("access_denied".into()), ..Callback::default() };
        assert_eq!(callback("http://x/?error=access_denied", ""), refused);
        assert_eq!(callback("?code=%zz%4", "").code, "%zz%4");
    }
}
