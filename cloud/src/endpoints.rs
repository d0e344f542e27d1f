//! Which host serves a product: by rule from region and network, or as the operator says.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Authority, uri::Scheme};
use terway_core::cloud::Product;

/// From where the API is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Over the internet: `ecs.<region>.aliyuncs.com`.
    Public,
    /// From within a VPC of the region, without a way to the internet: `ecs-vpc.<region>.aliyuncs.com`.
    #[default]
    Vpc,
}

/// A place that serves an API: scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    host: String,
}

/// A text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an endpoint: {reason}; allowed are a host such as `ecs.cn-hangzhou.aliyuncs.com`, with a \
     port if need be, and a URL such as `http://127.0.0.1:8080`"
)]
pub struct EndpointError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The endpoints of all products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    ecs: Endpoint,
    vpc: Endpoint,
}

impl Endpoints {
    /// Endpoints by rule.
    pub fn of_region(region: &str, network: Network) -> Result<Self, EndpointError> {
        let of = |product: Product| {
            let suffix = match network {
                Network::Public => "",
                Network::Vpc => "-vpc",
            };
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if region.is_empty() || !region.bytes().all(letters) {
                let reason = "the region must be letters, digits and hyphens";
                return Err(EndpointError { text: region.to_owned(), reason });
            }
            format!("{}{suffix}.{region}.aliyuncs.com", product.code()).parse()
        };
        Ok(Self { ecs: of(Product::Ecs)?, vpc: of(Product::Vpc)? })
    }

    /// The same endpoint for all products, as a simulated cloud has it.
    pub fn all_at(endpoint: Endpoint) -> Self {
        Self { ecs: endpoint.clone(), vpc: endpoint }
    }

    /// Another endpoint for a product.
    #[must_use]
    pub fn with(mut self, product: Product, endpoint: Endpoint) -> Self {
        match product {
            Product::Ecs => self.ecs = endpoint,
            Product::Vpc => self.vpc = endpoint,
        }
        self
    }

    /// Where a product is.
    pub fn of(&self, product: Product) -> &Endpoint {
        match product {
            Product::Ecs => &self.ecs,
            Product::Vpc => &self.vpc,
        }
    }
}

impl Endpoint {
    /// `https` or `http`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port of the connection.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Value of the header `host`, which is signed: no port where it is the usual one of the scheme, for
    /// what is sent and what the server sees must be the same text.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// A host, a host with a port, or a URL without path and query. TLS unless the URL says `http`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // Before an `@` there may be a password.
        let shown = if text.contains('@') { "…@…" } else { text };
        let fail = |reason| EndpointError { text: shown.to_owned(), reason };
        let trimmed = text.trim();
        let uri: Uri = trimmed.parse().map_err(|_| fail("it is neither a host nor a URL"))?;
        let scheme = match uri.scheme_str() {
            None | Some("https") => Scheme::HTTPS,
            Some("http") => Scheme::HTTP,
            Some(_) => return Err(fail("the scheme must be `https` or `http`")),
        };
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(fail("it must have neither path nor query"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| fail("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("it must not name a user"));
        }
        if authority.host().is_empty() {
            return Err(fail("it has no host"));
        }
        let port = &authority.as_str()[authority.host().len()..];
        if !port.is_empty() && authority.port_u16().is_none() {
            return Err(fail("the port must be a number up to 65535"));
        }
        let usual = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != usual => authority.as_str(),
            _ => authority.host(),
        };
        Ok(Self { scheme, host: host.to_owned(), authority })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_and_a_network_give_the_documented_hosts() {
        let public = Endpoints::of_region("cn-hangzhou", Network::Public).expect("a region");
        assert_eq!(public.of(Product::Ecs).to_string(), "https://ecs.cn-hangzhou.aliyuncs.com");
        let internal = Endpoints::of_region("cn-hangzhou", Network::Vpc).expect("a region");
        assert_eq!(internal.of(Product::Vpc).to_string(), "https://vpc-vpc.cn-hangzhou.aliyuncs.com");
        assert!(Endpoints::of_region("evil.example/", Network::Public).is_err());
        assert!(Endpoints::of_region("", Network::Public).is_err());
    }

    #[test]
    fn an_override_is_a_host_or_a_url_and_tells_what_host_is_signed() {
        for (text, shown, host) in [
            ("ecs.example.com", "https://ecs.example.com", "ecs.example.com"),
            ("ecs.example.com:8443", "https://ecs.example.com:8443", "ecs.example.com:8443"),
            ("https://ecs.example.com:443/", "https://ecs.example.com:443", "ecs.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]:80", "[::1]"),
            (" http://cloud ", "http://cloud", "cloud"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!((endpoint.to_string().as_str(), endpoint.host()), (shown, host), "{text}");
        }
        let both = Endpoints::of_region("cn-hangzhou", Network::Vpc).expect("a region");
        let changed = both.clone().with(Product::Ecs, "http://127.0.0.1:1".parse().expect("a URL"));
        assert_eq!(changed.of(Product::Ecs).host(), "127.0.0.1:1");
        assert_eq!(changed.of(Product::Vpc), both.of(Product::Vpc));
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_its_text_and_what_is_allowed() {
        for bad in
            ["", "ftp://x", "http://x/path", "http://x?q=1", "/only/path", "x:port", "a b", "http://:80"]
        {
            let error = bad.parse::<Endpoint>().expect_err(bad).to_string();
            assert!(error.contains(&format!("`{bad}`")) && error.contains("allowed are"), "{error}");
        }
        for bad in ["http://me:password@x", "http://me:password@x/path", "me:password@ x"] {
            let error = bad.parse::<Endpoint>().expect_err("a user").to_string();
            assert!(!error.contains("password"), "{error}");
        }
    }
}
