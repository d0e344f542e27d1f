//! TLS on the loopback device: who is believed, and that connections are kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use terway_cloud::http::{HttpError, chain, system, trusting};
use terway_core::spawn::spawn;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{post, server::serve, tasks};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("a certificate").der().clone();
    Authority { issuer: Issuer::new(params, key), root }
}

/// A server for `name`; returns its port and how many connections it accepted.
async fn listen(authority: &Authority, name: &str) -> (u16, Arc<AtomicUsize>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let leaf = params.signed_by(&key, &authority.issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("defaults")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate and its key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (accepted, acceptor) = (Arc::new(AtomicUsize::new(0)), TlsAcceptor::from(Arc::new(config)));
    let counter = accepted.clone();
    spawn(&tasks(), "listener", async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Relaxed);
            let acceptor = acceptor.clone();
            spawn(&tasks(), "server", async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, true).await;
                }
            });
        }
    });
    (port, accepted)
}

fn roots(root: &CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    roots
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_known_authority_is_believed_and_its_connection_kept() {
    let authority = authority();
    let (port, accepted) = listen(&authority, "localhost").await;
    let http = trusting(roots(&authority.root), tasks()).expect("TLS");
    for _ in 0..3 {
        let reply = http.send(post(&format!("https://localhost:{port}/?a=b"))).await.expect("believed");
        assert_eq!(reply.body(), "POST /?a=b");
    }
    assert_eq!(accepted.load(Relaxed), 1);
}

#[tokio::test]
async fn an_unknown_authority_is_refused_before_anything_is_sent() {
    let (port, accepted) = listen(&authority(), "localhost").await;
    // A client that knows another authority, and one that knows those of the system.
    for http in [trusting(roots(&authority().root), tasks()), system(tasks())] {
        let Ok(http) = http else { panic!("no roots on this system: install ca-certificates") };
        let error = http.send(post(&format!("https://localhost:{port}/"))).await.expect_err("not believed");
        assert!(error.unsent(), "{error:?}");
        assert!(chain(&error).contains("invalid peer certificate"), "{}", chain(&error));
    }
    assert_eq!(accepted.load(Relaxed), 2);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = authority();
    let (port, _) = listen(&authority, "ecs.example.com").await;
    let http = trusting(roots(&authority.root), tasks()).expect("TLS");
    let error = http.send(post(&format!("https://localhost:{port}/"))).await.expect_err("another name");
    assert!(matches!(&error, HttpError::Connect { .. }), "{error:?}");
    assert!(chain(&error).contains("not valid for name"), "{}", chain(&error));
}

#[tokio::test]
async fn plain_http_is_spoken_where_the_endpoint_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    spawn(&tasks(), "server", async move {
        let (stream, _) = listener.accept().await.expect("a client");
        serve(stream, true).await;
    });
    let http = trusting(RootCertStore::empty(), tasks()).expect("TLS");
    assert_eq!(http.send(post(&format!("http://127.0.0.1:{port}/"))).await.expect("plain").body(), "POST /");
}
