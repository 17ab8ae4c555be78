//! What the server says when it is ready: where to send, where to look, what to beware of.
//!
//! In: the addresses in use. Out: lines for people and one for programs. Everything named here
//! works as it stands: commands can be pasted, addresses opened.

use std::net::SocketAddr;

use crate::config::Config;
use crate::doors::{Addresses, reachable};

/// Where `suyuan trace` and `suyuan search` ask when they are not told.
pub(crate) const DEFAULT_SERVER: &str = "127.0.0.1:3200";

/// The first lines on stdout. The last one is for programs: it stands there when the server
/// answers, and names the addresses in use.
pub fn greeting(addresses: &Addresses, config: &Config) -> String {
    let http = reachable(addresses.http);
    let mut text = format!(
        "Suyuan {version}, data in {data_dir}

Send  OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp_http}  (HTTP, protobuf or JSON)
      OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp_grpc} OTEL_EXPORTER_OTLP_PROTOCOL=grpc
Look  {program} search '{{ status = error }}'{server_flag}
      {program} trace <trace id>{server_flag}
      http://{http}/api/v2/traces/<trace id>
      http://{http}/status
",
        version = env!("CARGO_PKG_VERSION"),
        data_dir = config.server.data_dir.display(),
        otlp_http = reachable(addresses.otlp_http),
        otlp_grpc = reachable(addresses.otlp_grpc),
        program = program(),
        server_flag = server_flag(http),
    );
    if let Some(warning) = warning(addresses, config.tenancy.enabled) {
        text.push_str(&format!("\n{warning}\n"));
    }
    let Addresses { http, otlp_grpc, otlp_http } = addresses;
    text.push_str(&format!("\nready http={http} otlp_grpc={otlp_grpc} otlp_http={otlp_http}\n"));
    text
}

/// What `suyuan trace` must be told to find this server: nothing where it looks by itself.
pub fn server_flag(http: SocketAddr) -> String {
    match http.to_string() {
        http if http == DEFAULT_SERVER => String::new(),
        http => format!(" --server http://{http}"),
    }
}

/// How this program was called, so that commands can be pasted: `target/release/suyuan` when it is
/// not on the path.
pub fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.ends_with("/suyuan") { called } else { "suyuan".to_owned() }
}

/// There is no authentication yet: who reaches a door may use it.
fn warning(addresses: &Addresses, tenancy_enabled: bool) -> Option<String> {
    let public: Vec<_> = [addresses.http, addresses.otlp_grpc, addresses.otlp_http]
        .into_iter()
        .filter(|address| !address.ip().is_loopback())
        .map(|address| address.to_string())
        .collect();
    if public.is_empty() {
        return None;
    }
    let tenants =
        if tenancy_enabled { "X-Scope-OrgID is believed as it is sent" } else { "tenants are off" };
    Some(format!(
        "Warning: other machines can reach {} and there is no authentication ({tenants}): let only \
         trusted networks in.",
        public.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn greeting_of(http: &str) -> String {
        let addresses = Addresses {
            http: http.parse().unwrap(),
            otlp_grpc: "127.0.0.1:4317".parse().unwrap(),
            otlp_http: "[::]:4318".parse().unwrap(),
        };
        greeting(&addresses, &Config::default()).replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn it_says_where_to_send_and_where_to_look_and_warns_when_others_can_reach_it() {
        expect![[r#"
            Suyuan VERSION, data in ./suyuan-data

            Send  OTEL_EXPORTER_OTLP_ENDPOINT=http://[::1]:4318  (HTTP, protobuf or JSON)
                  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc
            Look  suyuan search '{ status = error }'
                  suyuan trace <trace id>
                  http://127.0.0.1:3200/api/v2/traces/<trace id>
                  http://127.0.0.1:3200/status

            Warning: other machines can reach [::]:4318 and there is no authentication (tenants are off): let only trusted networks in.

            ready http=127.0.0.1:3200 otlp_grpc=127.0.0.1:4317 otlp_http=[::]:4318
        "#]].assert_eq(&greeting_of("127.0.0.1:3200"));
        expect![[r#"
            Suyuan VERSION, data in ./suyuan-data

            Send  OTEL_EXPORTER_OTLP_ENDPOINT=http://[::1]:4318  (HTTP, protobuf or JSON)
                  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc
            Look  suyuan search '{ status = error }' --server http://127.0.0.1:3201
                  suyuan trace <trace id> --server http://127.0.0.1:3201
                  http://127.0.0.1:3201/api/v2/traces/<trace id>
                  http://127.0.0.1:3201/status

            Warning: other machines can reach 0.0.0.0:3201, [::]:4318 and there is no authentication (tenants are off): let only trusted networks in.

            ready http=0.0.0.0:3201 otlp_grpc=127.0.0.1:4317 otlp_http=[::]:4318
        "#]].assert_eq(&greeting_of("0.0.0.0:3201"));
    }
}
