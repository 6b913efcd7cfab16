//! The port: what a listen address means, and who reaches it.

use std::net::{Ipv6Addr, SocketAddr};

use axum::Router;
use axum::routing::get;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use token_exchange::http::server::{
    Drain, InvalidListenAddress, ListenAddress, Listener, raise_open_file_limit,
};
use tokio::runtime::Runtime;

use super::support::{Client, NO_LIMITS, SOON, alone, loopback, run};

fn address(text: &str) -> ListenAddress {
    text.parse().unwrap()
}

fn port_of(listener: &Listener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// Serves on the listener, and asks over each of the addresses.
fn reach(listener: Listener, clients: &[SocketAddr]) {
    let runtime = Runtime::new().unwrap();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let _done = run(&runtime, listener, router, NO_LIMITS, Drain::new(SOON));
    for client in clients {
        assert_eq!(Client::connect(*client).get("/").body, "hello", "{client}");
    }
}

#[test]
fn addresses_are_read_as_go_writes_them() {
    for text in [":9990", "127.0.0.1:9990", "[::1]:9990", "localhost:9990", "0.0.0.0:0"] {
        assert_eq!(address(text).to_string(), text);
    }
    assert_eq!(address(":8080"), ListenAddress::all_interfaces(8080));
    assert_eq!(address("[]:8080"), ListenAddress::all_interfaces(8080));
}

#[test]
fn what_is_no_address_is_refused_with_the_text() {
    for text in
        ["", "9990", "::1:9990", "[::1:9990", "::1]:9990", "[::1]", ":+1", ":65536", ":http", ":"]
    {
        let error: InvalidListenAddress = text.parse::<ListenAddress>().unwrap_err();
        assert!(error.to_string().starts_with(&format!("{text:?} ")), "{error}");
    }
}

#[test]
fn all_interfaces_are_reached_over_ipv4_and_ipv6() {
    for text in [":0", "0.0.0.0:0", "[::]:0"] {
        let listener = Listener::bind(&address(text)).unwrap();
        let port = port_of(&listener);
        reach(listener, &[loopback(port), (Ipv6Addr::LOCALHOST, port).into()]);
    }
}

#[test]
fn one_address_is_listened_on_alone() {
    for (text, ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let listener = Listener::bind(&address(text)).unwrap();
        let here = listener.local_addr().unwrap();
        assert_eq!(here.ip().to_string(), ip);
        reach(listener, &[here]);
    }
}

#[test]
fn a_name_is_looked_up_and_its_ipv4_address_preferred() {
    let listener = Listener::bind(&address("localhost:0")).unwrap();
    let port = port_of(&listener);
    reach(listener, &[loopback(port)]);
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let first = Listener::bind(&address(":0")).unwrap();
    let error = Listener::bind(&ListenAddress::all_interfaces(port_of(&first))).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_can_be_opened_again_while_old_connections_are_remembered() {
    let (listener, client) = {
        let listener = Listener::bind(&address("127.0.0.1:0")).unwrap();
        let here = listener.local_addr().unwrap();
        let runtime = Runtime::new().unwrap();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let _done = run(&runtime, listener, router, NO_LIMITS, Drain::new(SOON));
        let mut client = Client::connect(here);
        client.get("/");
        // The server closes first, so the memory is on its side.
        drop(runtime);
        client.wait_for_close();
        (here, client)
    };
    drop(client);
    Listener::bind(&address(&listener.to_string())).unwrap();
}

#[test]
fn the_limit_of_open_files_is_raised_to_the_hard_one() {
    alone("server::listening::the_limit_of_open_files_is_raised_to_the_hard_one", || {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        assert_eq!(raise_open_file_limit().unwrap(), maximum);
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: maximum, maximum });
    });
}
