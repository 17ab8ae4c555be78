//! How things go wrong in the shop, and what each language writes about it.
//!
//! In: a cause. Out: an `exception` event with type, message and stack trace as the language of the
//! service prints them, and the text of the span's status.

use super::random::Random;
use super::service::{Facts, Language};
use super::span::{Event, Text, attribute};

/// Why an operation did not give what it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The HTTP status that a caller sees.
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    /// For a person.
    pub(crate) message: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The answer is no, and that is right so.
    Refused,
    Bug,
    Database,
    Cache,
    Timeout,
    Upstream,
}

impl Failure {
    pub(crate) fn new(status: u16, cause: Cause, message: impl Into<Text>) -> Self {
        Self { status, cause, message: message.into() }
    }

    /// Whether somebody should look at it.
    pub(crate) fn is_error(&self) -> bool {
        self.cause != Cause::Refused
    }

    /// What the caller of a failed service says to its own caller.
    pub(crate) fn passed_on(&self) -> Self {
        match self.cause {
            Cause::Refused => self.clone(),
            _ => Self::new(500, Cause::Upstream, self.message.clone()),
        }
    }
}

/// What breaks in a database, with MySQL's error number.
pub(crate) static DATABASE_TROUBLES: [(&str, &str); 4] = [
    ("1213", "Deadlock found when trying to get lock; try restarting transaction"),
    ("1205", "Lock wait timeout exceeded; try restarting transaction"),
    ("2013", "Lost connection to MySQL server during query"),
    ("1040", "Too many connections"),
];

/// What programmers overlook.
pub(crate) static BUGS: [&str; 6] = [
    "price of the second item is missing",
    "quantity is negative: -1",
    "currency `CN¥` is not known",
    "index 7 is out of range, length is 7",
    "invalid state transition: paid -> created",
    "date 2025-02-29 does not exist",
];

/// The event that an SDK records for a failure inside `facts`' service while doing `what`.
pub(crate) fn exception(
    failure: &Failure,
    facts: &Facts,
    what: &str,
    time_unix_nanos: u64,
    random: &mut Random,
) -> Event {
    let exception_type = exception_type(facts.language, failure.cause);
    let stack_trace = stack_trace(exception_type, &failure.message, facts, what, random);
    Event {
        time_unix_nanos,
        name: "exception",
        attributes: vec![
            attribute("exception.type", exception_type),
            attribute("exception.message", failure.message.clone()),
            attribute("exception.stacktrace", stack_trace),
            attribute("exception.escaped", failure.cause != Cause::Cache),
        ],
    }
}

/// `error.type` on the span: low in cardinality, as the conventions ask.
pub(crate) fn error_type(language: Language, failure: &Failure) -> Text {
    match failure.cause {
        Cause::Refused | Cause::Upstream => status_text(failure.status),
        cause => exception_type(language, cause).into(),
    }
}

/// The status as text, without an allocation for those that occur.
pub(crate) fn status_text(status: u16) -> Text {
    match status {
        401 => "401".into(),
        403 => "403".into(),
        404 => "404".into(),
        409 => "409".into(),
        500 => "500".into(),
        503 => "503".into(),
        504 => "504".into(),
        other => other.to_string().into(),
    }
}

fn exception_type(language: Language, cause: Cause) -> &'static str {
    match (language, cause) {
        (Language::Php, Cause::Database) => "PDOException",
        (Language::Php, Cause::Cache) => "RedisException",
        (Language::Php, Cause::Timeout) => "GuzzleHttp\\Exception\\ConnectException",
        (Language::Php, Cause::Upstream) => "GuzzleHttp\\Exception\\ServerException",
        (Language::Php, _) => "TypeError",
        (Language::Java | Language::Kotlin, Cause::Database) => "java.sql.SQLTransientException",
        (Language::Java | Language::Kotlin, Cause::Cache) => {
            "io.lettuce.core.RedisCommandTimeoutException"
        }
        (Language::Java | Language::Kotlin, Cause::Timeout) => "java.net.http.HttpTimeoutException",
        (Language::Java | Language::Kotlin, Cause::Upstream) => {
            "com.example.shop.UpstreamException"
        }
        (Language::Java | Language::Kotlin, _) => "java.lang.IllegalStateException",
        (Language::Go, Cause::Database) => "*mysql.MySQLError",
        (Language::Go, Cause::Timeout) => "context.deadlineExceededError",
        (Language::Go, _) => "*errors.errorString",
        (Language::Node | Language::Browser, Cause::Timeout) => "TimeoutError",
        (Language::Node | Language::Browser, Cause::Bug) => "TypeError",
        (Language::Node | Language::Browser, _) => "Error",
        (Language::Python, Cause::Database) => "pymysql.err.OperationalError",
        (Language::Python, Cause::Timeout) => "httpx.ReadTimeout",
        (Language::Python, Cause::Upstream) => "httpx.HTTPStatusError",
        (Language::Python, _) => "KeyError",
        (Language::Rust, _) => "risk::Error",
        (Language::Lua, Cause::Timeout) => "upstream timed out",
        (Language::Lua, _) => "upstream error",
    }
}

/// Frames from the innermost to the outermost, in the notation of the language.
fn stack_trace(
    exception_type: &str,
    message: &str,
    facts: &Facts,
    what: &str,
    random: &mut Random,
) -> String {
    let service = facts.name;
    let mut line = |most: u64| random.between(12, most);
    match facts.language {
        Language::Php => format!(
            "{exception_type}: {message}\n\
             #0 /app/src/Repository/{service}.php({}): App\\Repository\\Connection->run()\n\
             #1 /app/src/Service/{service}.php({}): App\\Repository\\{service}->find()\n\
             #2 /app/src/Controller/{service}.php({}): App\\Service\\{service}->handle('{what}')\n\
             #3 /app/vendor/laravel/framework/src/Illuminate/Routing/Controller.php(54): App\\Controller->callAction()\n\
             #4 /app/vendor/laravel/framework/src/Illuminate/Routing/Router.php(808): Illuminate\\Routing\\Route->run()\n\
             #5 /app/vendor/laravel/framework/src/Illuminate/Pipeline/Pipeline.php(180): Illuminate\\Routing\\Router->{{closure}}()\n\
             #6 /app/public/index.php(20): Illuminate\\Foundation\\Application->handleRequest()\n\
             #7 {{main}}",
            line(300),
            line(400),
            line(250),
        ),
        Language::Java | Language::Kotlin => format!(
            "{exception_type}: {message}\n\
             \tat com.example.shop.{service}.Ledger.write(Ledger.java:{})\n\
             \tat com.example.shop.{service}.Handler.handle(Handler.java:{})\n\
             \tat com.example.shop.{service}.Controller.call(Controller.java:{}) // {what}\n\
             \tat java.base/jdk.internal.reflect.DirectMethodHandleAccessor.invoke(DirectMethodHandleAccessor.java:103)\n\
             \tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:885)\n\
             \tat jakarta.servlet.http.HttpServlet.service(HttpServlet.java:658)\n\
             \tat org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:138)\n\
             \tat org.apache.tomcat.util.net.SocketProcessorBase.run(SocketProcessorBase.java:52)\n\
             \tat java.base/java.lang.VirtualThread.run(VirtualThread.java:329)",
            line(700),
            line(400),
            line(200),
        ),
        Language::Go => format!(
            "goroutine {} [running]:\n\
             shop/{service}/internal/store.(*Store).exec(0xc000{:06x})\n\t/src/internal/store/store.go:{}\n\
             shop/{service}/internal/app.(*App).handle(0xc000{:06x})\n\t/src/internal/app/app.go:{} {what}\n\
             net/http.HandlerFunc.ServeHTTP(...)\n\t/usr/local/go/src/net/http/server.go:2322\n\
             go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp.(*middleware).serveHTTP\n\t/go/pkg/mod/otelhttp/handler.go:177\n\
             net/http.(*conn).serve(...)\n\t/usr/local/go/src/net/http/server.go:2109",
            line(90_000),
            line(0xff_ffff),
            line(400),
            line(0xff_ffff),
            line(300),
        ),
        Language::Node | Language::Browser => format!(
            "{exception_type}: {message}\n    at {service} (/app/dist/{service}.js:{}:{})\n    at async handle (/app/dist/routes.js:{}:19) [{what}]\n    at async Layer.dispatch (/app/node_modules/router/lib/layer.js:152:17)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
            line(500),
            line(60),
            line(200),
        ),
        Language::Python => format!(
            "Traceback (most recent call last):\n  File \"/app/.venv/lib/python3.13/site-packages/starlette/routing.py\", line 73, in app\n    response = await f(request)\n  File \"/app/{service}/api.py\", line {}, in handle  # {what}\n    return await score(user)\n  File \"/app/{service}/model.py\", line {}, in score\n    raise failure\n{exception_type}: {message}",
            line(200),
            line(400),
        ),
        Language::Rust => format!(
            "{exception_type}: {message}\n   0: risk::rules::run\n             at src/rules.rs:{}\n   1: risk::http::assess\n             at src/http.rs:{}  {what}",
            line(400),
            line(150)
        ),
        Language::Lua => format!(
            "{message} while reading response header from upstream, request: \"{what}\", worker {}",
            line(900)
        ),
    }
}
