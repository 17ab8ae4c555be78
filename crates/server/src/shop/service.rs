//! Who works in the shop: services, their instances and the instrumentations they use.
//!
//! In: a seed. Out: one resource per process (its attributes never change while it runs) and the
//! table of scopes. Two OpenResty gateways stand before everything: one for requests from outside,
//! one between the services (`spec: origin g`).

use std::borrow::Cow;

use super::random::Random;
use super::span::{Attribute, Scope, Text, attribute};

/// The semantic conventions that the shop's resources and most of its scopes follow.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// A service of the shop; the order is the order of `FACTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Web,
    App,
    GatewayExternal,
    GatewayInternal,
    HomePage,
    Mall,
    User,
    Coupon,
    Catalog,
    Search,
    Price,
    Inventory,
    Cart,
    Order,
    Shipping,
    Auth,
    Payment,
    Invoice,
    Settlement,
    Review,
    Notify,
    Recommend,
    Risk,
    StockSync,
}

/// What is the same for every instance of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) service: Service,
    pub(crate) name: &'static str,
    pub(crate) language: Language,
    version: &'static str,
    pub(crate) port: i64,
    n_instances: u16,
}

/// What a service is written in; it decides on scopes, exceptions and stack traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Lua,
    Php,
    Go,
    Java,
    Node,
    Python,
    Rust,
    Browser,
    Kotlin,
}

/// Which part of a process made a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instrument {
    Server,
    Client,
    Mysql,
    Redis,
    Search,
    Kafka,
    Rpc,
    Own,
}

const N_INSTRUMENTS: usize = 8;

/// One running process (or one visitor's device) with its resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The service's `service.name`.
    pub service_name: &'static str,
    /// The resource's attributes, in the order in which they are sent.
    pub attributes: Vec<Attribute>,
    pub(crate) service: Service,
    /// The address at which others see it.
    pub(crate) address: Text,
}

const fn facts(
    service: Service,
    name: &'static str,
    language: Language,
    version: &'static str,
    port: i64,
    n_instances: u16,
) -> Facts {
    Facts { service, name, language, version, port, n_instances }
}

pub(crate) static FACTS: [Facts; 24] = [
    facts(Service::Web, "web", Language::Browser, "6.21.0", 0, 24),
    facts(Service::App, "app", Language::Kotlin, "8.4.1", 0, 24),
    facts(Service::GatewayExternal, "gateway-external", Language::Lua, "1.27.1", 443, 4),
    facts(Service::GatewayInternal, "gateway-internal", Language::Lua, "1.27.1", 8080, 4),
    facts(Service::HomePage, "home-page", Language::Php, "4.18.2", 8080, 4),
    facts(Service::Mall, "mall", Language::Php, "7.3.0", 8080, 6),
    facts(Service::User, "user", Language::Php, "3.9.4", 8080, 3),
    facts(Service::Coupon, "coupon", Language::Php, "2.6.1", 8080, 3),
    facts(Service::Catalog, "catalog", Language::Go, "1.42.0", 8080, 4),
    facts(Service::Search, "search", Language::Go, "1.17.3", 8080, 3),
    facts(Service::Price, "price", Language::Go, "1.25.1", 8080, 4),
    facts(Service::Inventory, "inventory", Language::Go, "2.11.0", 9090, 4),
    facts(Service::Cart, "cart", Language::Go, "1.33.5", 8080, 4),
    facts(Service::Order, "order", Language::Go, "2.30.2", 8080, 4),
    facts(Service::Shipping, "shipping", Language::Go, "1.8.0", 8080, 2),
    facts(Service::Auth, "auth", Language::Go, "1.12.7", 9090, 3),
    facts(Service::Payment, "payment", Language::Java, "5.2.3", 8080, 4),
    facts(Service::Invoice, "invoice", Language::Java, "1.4.0", 8080, 2),
    facts(Service::Settlement, "settlement", Language::Java, "1.1.9", 8080, 1),
    facts(Service::Review, "review", Language::Node, "0.19.2", 3000, 3),
    facts(Service::Notify, "notify", Language::Node, "0.27.0", 3000, 2),
    facts(Service::Recommend, "recommend", Language::Python, "3.0.12", 8000, 3),
    facts(Service::Risk, "risk", Language::Rust, "0.9.1", 8080, 2),
    facts(Service::StockSync, "stock-sync", Language::Go, "1.0.6", 8080, 1),
];

impl Service {
    pub(crate) fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// The name under which other services reach it inside the cluster.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::GatewayExternal => "shop.example.com",
            Self::GatewayInternal => "gateway.internal",
            _ => self.facts().name,
        }
    }

    /// The place of the first instance and how many follow.
    pub(crate) fn instances(self) -> (u16, u16) {
        let before = FACTS[..self as usize].iter().map(|facts| facts.n_instances).sum();
        (before, self.facts().n_instances)
    }
}

/// Hires everybody: the resources of all instances, grouped by service in the order of `FACTS`.
pub(crate) fn instances(random: &mut Random) -> Vec<Instance> {
    let mut instances = Vec::new();
    for facts in &FACTS {
        for number in 0..facts.n_instances {
            instances.push(match facts.language {
                Language::Browser => browser(facts, number, random),
                Language::Kotlin => phone(facts, random),
                Language::Lua => gateway(facts, number, random),
                _ => pod(facts, number, random),
            });
        }
    }
    instances
}

fn service_attributes(facts: &Facts, random: &mut Random) -> Vec<Attribute> {
    vec![
        attribute("service.name", facts.name),
        attribute("service.namespace", "shop"),
        attribute("service.version", facts.version),
        attribute("service.instance.id", uuid(random)),
        attribute("deployment.environment.name", "production"),
    ]
}

fn pod(facts: &Facts, number: u16, random: &mut Random) -> Instance {
    let (replica_set, suffix, container) = (random.bits(), random.bits(), hex(random, 64));
    let node = format!("node-{:02}", random.between(1, 16));
    let zone = random.pick(&["cn-east-1a", "cn-east-1b", "cn-east-1c"]);
    let runtime = runtime(facts.language);
    let pod_name =
        format!("{}-{:09x}-{:05x}", facts.name, replica_set & 0xf_ffff_ffff, suffix & 0xf_ffff);
    let address =
        format!("10.42.{}.{}", facts.service as u8, 10 + number * 7 + random.below(7) as u16);
    let mut attributes = service_attributes(facts, random);
    attributes.extend([
        attribute("k8s.cluster.name", "shop-east"),
        attribute("k8s.namespace.name", "shop"),
        attribute("k8s.deployment.name", facts.name),
        attribute("k8s.pod.name", pod_name.clone()),
        attribute("k8s.node.name", node),
        attribute("container.id", container),
        attribute("host.name", pod_name),
        attribute("host.arch", "amd64"),
        attribute("cloud.region", "cn-east-1"),
        attribute("cloud.availability_zone", zone),
        attribute("process.pid", random.between(7, 60) as i64),
        attribute("process.command_args", arguments(runtime.command_args)),
        attribute("process.runtime.name", runtime.name),
        attribute("process.runtime.version", runtime.version),
    ]);
    attributes.extend(sdk_attributes(&runtime));
    let address = Cow::Owned(address);
    Instance { service_name: facts.name, attributes, service: facts.service, address }
}

/// The gateways run on machines of their own, outside the cluster.
fn gateway(facts: &Facts, number: u16, random: &mut Random) -> Instance {
    let edge = if facts.service == Service::GatewayExternal { "edge" } else { "mesh" };
    let subnet = if facts.service == Service::GatewayExternal { 1 } else { 2 };
    let address = format!("10.{subnet}.0.{}", 11 + number);
    let runtime = runtime(Language::Lua);
    let mut attributes = service_attributes(facts, random);
    attributes.extend([
        attribute("host.name", format!("{edge}-{:02}", number + 1)),
        attribute("host.id", hex(random, 32)),
        attribute("host.arch", "amd64"),
        attribute("host.ip", vec![Cow::Owned(address.clone())]),
        attribute("os.type", "linux"),
        attribute("os.description", "Debian GNU/Linux 13 (trixie)"),
        attribute("cloud.region", "cn-east-1"),
        attribute("process.pid", random.between(800, 32_000) as i64),
        attribute("process.executable.name", "nginx"),
        attribute("process.command_args", arguments(runtime.command_args)),
        attribute("process.runtime.name", runtime.name),
        attribute("process.runtime.version", runtime.version),
    ]);
    attributes.extend(sdk_attributes(&runtime));
    let address = Cow::Owned(address);
    Instance { service_name: facts.name, attributes, service: facts.service, address }
}

fn browser(facts: &Facts, number: u16, random: &mut Random) -> Instance {
    let mobile = number.is_multiple_of(3);
    let platform = random.pick(if mobile { &["Android", "iOS"] } else { &["Windows", "macOS"] });
    let brands = vec![Cow::Borrowed("Chromium 142"), Cow::Borrowed("Not A(Brand 99")];
    let mut attributes = service_attributes(facts, random);
    attributes.extend([
        attribute("session.id", uuid(random)),
        attribute("browser.platform", platform),
        attribute("browser.mobile", mobile),
        attribute("browser.language", random.pick(&["zh-CN", "zh-CN", "zh-TW", "en-US"])),
        attribute("browser.brands", brands),
        attribute("user_agent.original", random.pick(&BROWSERS)),
        attribute("process.runtime.name", "browser"),
    ]);
    attributes.extend(sdk_attributes(&runtime(Language::Browser)));
    let address = visitor_address(random);
    Instance { service_name: facts.name, attributes, service: facts.service, address }
}

fn phone(facts: &Facts, random: &mut Random) -> Instance {
    let mut attributes = service_attributes(facts, random);
    let model = random.pick(&["Pixel 10", "Mi 15", "Find X9", "Mate 70", "Galaxy S25"]);
    attributes.extend([
        attribute("session.id", uuid(random)),
        attribute("device.model.identifier", model),
        attribute("os.name", "Android"),
        attribute("os.version", random.pick(&["14", "15", "16"])),
        attribute("network.carrier.name", random.pick(&["China Mobile", "China Telecom"])),
        attribute("network.connection.type", random.pick(&["wifi", "cell"])),
        attribute("rum.sdk.version", "0.16.0-alpha"),
    ]);
    attributes.extend(sdk_attributes(&runtime(Language::Kotlin)));
    let address = visitor_address(random);
    Instance { service_name: facts.name, attributes, service: facts.service, address }
}

fn visitor_address(random: &mut Random) -> Text {
    // 203.0.113.0/24 is reserved for documentation (RFC 5737).
    Cow::Owned(format!("203.0.113.{}", random.between(1, 254)))
}

/// What visitors' requests carry as `user_agent.original`.
pub(crate) static BROWSERS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 15; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Mobile Safari/537.36",
    "ShopApp/8.4.1 (Android 15) okhttp/5.1.0",
];

struct Runtime {
    name: &'static str,
    version: &'static str,
    command_args: &'static [&'static str],
    sdk_language: &'static str,
    sdk_version: &'static str,
}

fn runtime(language: Language) -> Runtime {
    let (name, version, command_args, sdk_language, sdk_version): (_, _, &[_], _, _) =
        match language {
            Language::Lua => ("LuaJIT", "2.1", &["nginx", "-g", "daemon off;"], "cpp", "1.23.0"),
            Language::Php => ("fpm-fcgi", "8.4.14", &["php-fpm", "--nodaemonize"], "php", "1.9.0"),
            Language::Go => ("go", "go1.25.4", &["/app/server", "--log=json"], "go", "1.38.0"),
            Language::Java => (
                "OpenJDK Runtime Environment",
                "21.0.9+10",
                &["java", "-XX:MaxRAMPercentage=70", "-jar", "/app/app.jar"],
                "java",
                "1.56.0",
            ),
            Language::Node => ("nodejs", "24.11.1", &["node", "dist/main.js"], "nodejs", "2.2.0"),
            Language::Python => {
                ("cpython", "3.13.9", &["uvicorn", "app:main", "--workers=4"], "python", "1.38.0")
            }
            Language::Rust => ("rustc", "1.91.1", &["/usr/bin/risk"], "rust", "0.31.0"),
            Language::Browser => ("browser", "", &[], "webjs", "2.2.0"),
            Language::Kotlin => ("ART", "", &[], "android", "1.56.0"),
        };
    Runtime { name, version, command_args, sdk_language, sdk_version }
}

fn sdk_attributes(runtime: &Runtime) -> [Attribute; 3] {
    [
        attribute("telemetry.sdk.name", "opentelemetry"),
        attribute("telemetry.sdk.language", runtime.sdk_language),
        attribute("telemetry.sdk.version", runtime.sdk_version),
    ]
}

fn arguments(words: &'static [&'static str]) -> Vec<Text> {
    words.iter().map(|word| Cow::Borrowed(*word)).collect()
}

fn hex(random: &mut Random, n_digits: usize) -> String {
    let mut text = String::with_capacity(n_digits);
    while text.len() < n_digits {
        text.push_str(&format!("{:016x}", random.bits()));
    }
    text.truncate(n_digits);
    text
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

/// The place of a scope in `scopes()`. Instrumentations that share a scope share its first place.
pub(crate) fn scope_index(language: Language, instrument: Instrument) -> u16 {
    let instrument = match (language, instrument) {
        (Language::Lua | Language::Rust | Language::Browser | Language::Kotlin, _)
        | (Language::Go, Instrument::Client)
        | (Language::Node, Instrument::Search) => Instrument::Server,
        (_, other) => other,
    };
    (language as usize * N_INSTRUMENTS + instrument as usize) as u16
}

/// Every scope that the shop can name, in the order of `scope_index`.
pub(crate) fn scopes() -> Vec<Scope> {
    use Language::{Browser, Go, Java, Kotlin, Lua, Node, Php, Python, Rust};
    [Lua, Php, Go, Java, Node, Python, Rust, Browser, Kotlin]
        .into_iter()
        .flat_map(language_scopes)
        .map(|(name, version)| Scope { name, version, schema_url: schema_of(name) })
        .collect()
}

/// Go's instrumentations and the hand-written ones name no schema, the others do.
fn schema_of(scope_name: &str) -> &'static str {
    if scope_name.starts_with("shop.") || scope_name.contains(".com/") || scope_name.contains("go.")
    {
        ""
    } else {
        SCHEMA_URL
    }
}

/// Name and version for: server, client, mysql, redis, search, kafka, rpc, own.
fn language_scopes(language: Language) -> [(&'static str, &'static str); N_INSTRUMENTS] {
    match language {
        Language::Lua => [("nginx", "1.27.1"); N_INSTRUMENTS],
        Language::Php => [
            ("io.opentelemetry.contrib.php.laravel", "1.3.0"),
            ("io.opentelemetry.contrib.php.guzzle", "1.2.0"),
            ("io.opentelemetry.contrib.php.pdo", "0.2.3"),
            ("io.opentelemetry.contrib.php.ext_redis", "0.1.0"),
            ("io.opentelemetry.contrib.php.curl", "0.1.1"),
            ("io.opentelemetry.contrib.php.ext_rdkafka", "0.3.0"),
            ("io.opentelemetry.contrib.php.grpc", "0.1.0"),
            ("shop.php", "2.1.0"),
        ],
        Language::Go => [
            ("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.63.0"),
            ("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "0.63.0"),
            ("github.com/XSAM/otelsql", "0.40.0"),
            ("github.com/redis/go-redis/extra/redisotel", "9.16.0"),
            ("github.com/elastic/elastic-transport-go", "8.7.0"),
            ("github.com/twmb/franz-go/plugin/kotel", "1.6.0"),
            (
                "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
                "0.63.0",
            ),
            ("shop.go", "1.42.0"),
        ],
        Language::Java => [
            ("io.opentelemetry.tomcat-10.0", "2.21.0-alpha"),
            ("io.opentelemetry.java-http-client", "2.21.0-alpha"),
            ("io.opentelemetry.jdbc", "2.21.0-alpha"),
            ("io.opentelemetry.lettuce-5.1", "2.21.0-alpha"),
            ("io.opentelemetry.elasticsearch-transport-7.0", "2.21.0-alpha"),
            ("io.opentelemetry.kafka-clients-0.11", "2.21.0-alpha"),
            ("io.opentelemetry.grpc-1.6", "2.21.0-alpha"),
            ("io.opentelemetry.opentelemetry-instrumentation-annotations-1.16", "2.21.0-alpha"),
        ],
        Language::Node => [
            ("@opentelemetry/instrumentation-http", "0.208.0"),
            ("@opentelemetry/instrumentation-undici", "0.18.0"),
            ("@opentelemetry/instrumentation-mysql2", "0.55.0"),
            ("@opentelemetry/instrumentation-redis", "0.57.0"),
            ("@opentelemetry/instrumentation-http", "0.208.0"),
            ("@opentelemetry/instrumentation-kafkajs", "0.18.0"),
            ("@opentelemetry/instrumentation-grpc", "0.208.0"),
            ("shop.node", "0.27.0"),
        ],
        Language::Python => [
            ("opentelemetry.instrumentation.fastapi", "0.59b0"),
            ("opentelemetry.instrumentation.httpx", "0.59b0"),
            ("opentelemetry.instrumentation.pymysql", "0.59b0"),
            ("opentelemetry.instrumentation.redis", "0.59b0"),
            ("opentelemetry.instrumentation.elasticsearch", "0.59b0"),
            ("opentelemetry.instrumentation.confluent_kafka", "0.59b0"),
            ("opentelemetry.instrumentation.grpc", "0.59b0"),
            ("shop.recommend", "3.0.12"),
        ],
        Language::Rust => [("shop.risk", "0.9.1"); N_INSTRUMENTS],
        Language::Browser => [("@opentelemetry/instrumentation-fetch", "0.208.0"); N_INSTRUMENTS],
        Language::Kotlin => [("io.opentelemetry.okhttp-3.0", "2.21.0-alpha"); N_INSTRUMENTS],
    }
}
