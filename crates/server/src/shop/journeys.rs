//! What happens in the shop: every journey of a visitor and every job of the night.
//!
//! A table of constants, written to be read. Texts in braces (`{sku}`, `{user}`, ...) are filled in
//! from the visitor (`visitor.rs`). Durations are medians.

use super::operation::*;
use super::service::Service;

/// Something that begins a trace, and how often it does.
#[derive(Debug)]
pub(crate) struct Journey {
    /// Of `WEIGHT_TOTAL`.
    pub(crate) weight: u32,
    pub(crate) begins: Begins,
    pub(crate) operation: &'static Operation,
}

/// Where a trace starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// At the external gateway; some clients send their own spans, then it starts at the click.
    Outside { click: &'static str },
    /// The gateway answers alone.
    AtTheGateway,
    /// By the clock.
    Job,
    /// When messages of other traces have come.
    Messages,
}

const fn visit(weight: u32, click: &'static str, operation: &'static Operation) -> Journey {
    Journey { weight, begins: Begins::Outside { click }, operation }
}

const fn begins(weight: u32, begins: Begins, operation: &'static Operation) -> Journey {
    Journey { weight, begins, operation }
}

pub(crate) const WEIGHT_TOTAL: u32 = 100_000;

/// The weights add up to `WEIGHT_TOTAL`.
pub(crate) static JOURNEYS: [Journey; 19] = [
    begins(9_000, Begins::AtTheGateway, &HEALTH),
    begins(7_500, Begins::AtTheGateway, &STATIC_FILE),
    visit(16_000, "open home page", &HOME),
    visit(19_400, "open product", &PRODUCT_PAGE),
    visit(10_200, "search", &SEARCH),
    visit(5_400, "show more reviews", &REVIEWS),
    visit(5_600, "add to cart", &ADD_TO_CART),
    visit(5_200, "open cart", &VIEW_CART),
    visit(4_900, "check out", &CHECKOUT),
    visit(3_300, "pay now", &PAY),
    visit(2_800, "log in", &LOGIN),
    visit(3_300, "my orders", &MY_ORDERS),
    visit(700, "write review", &WRITE_REVIEW),
    begins(1_800, Begins::Messages, &SEND_INVOICE),
    begins(2_000, Begins::Messages, &SEND_MESSAGES),
    begins(1_600, Begins::Messages, &CREATE_SHIPMENT),
    begins(1_272, Begins::Messages, &LEARN_TASTE),
    begins(18, Begins::Job, &STOCK_SYNC),
    begins(10, Begins::Job, &SETTLEMENT),
];

// ---- the gateway alone -------------------------------------------------------------------------

static HEALTH: Operation = Operation {
    service: Service::GatewayExternal,
    door: http("GET", "/healthz"),
    busy_micros: 120,
    ..PLAIN
};

static STATIC_FILE: Operation = Operation {
    service: Service::GatewayExternal,
    door: http("GET", "/static/{asset}"),
    busy_micros: 260,
    refusals: &[refusal(404, 12, "no such file")],
    ..PLAIN
};

// ---- looking around ----------------------------------------------------------------------------

static HOME: Operation = Operation {
    service: Service::HomePage,
    door: http("GET", "/"),
    busy_micros: 1_400,
    fails_per_mille: 1,
    notes: &[Note::FirstVisit, Note::SessionId],
    steps: &[
        cached(
            "page:home:{city}",
            880,
            &[
                Step::Together(&[call(&BANNERS), call(&NEW_PRODUCTS), ask(&RECOMMEND)]),
                work("render home page", 2_600),
                cache("SETEX", "page:home:{city}"),
            ],
        ),
        sometimes(420, &[ask(&CART_BADGE)]),
    ],
    ..PLAIN
};

static PRODUCT_PAGE: Operation = Operation {
    service: Service::Mall,
    door: http("GET", "/product/{sku}"),
    busy_micros: 2_100,
    fails_per_mille: 1,
    refusals: &[refusal(404, 9, "product is not sold any more")],
    notes: &[Note::Sku, Note::SessionId],
    steps: &[
        Step::Together(&[call(&PRODUCT), call(&PRICE), ask(&REVIEW_SUMMARY)]),
        sometimes(450, &[ask(&RECOMMEND)]),
        work("render product page", 1_900),
    ],
    ..PLAIN
};

static SEARCH: Operation = Operation {
    service: Service::Search,
    door: http("GET", "/search"),
    busy_micros: 900,
    fails_per_mille: 2,
    notes: &[Note::SearchWords, Note::SessionId],
    steps: &[
        work("parse words", 140),
        cached(
            "search:{word}:{page}",
            380,
            &[
                Step::Find {
                    index: "products",
                    text: "{\"query\":{\"bool\":{\"must\":[{\"match\":{\"title\":\"{word}\"}}],\
                           \"filter\":[{\"term\":{\"on_sale\":true}}]}},\"size\":40}",
                    micros: 11_500,
                },
                work("rank results", 1_700),
                cache("SETEX", "search:{word}:{page}"),
            ],
        ),
        call(&PRICES),
    ],
    ..PLAIN
};

static REVIEWS: Operation = Operation {
    service: Service::Review,
    door: http("GET", "/product/{sku}/reviews"),
    busy_micros: 1_100,
    notes: &[Note::Sku],
    steps: &[
        query(
            "SELECT reviews",
            "SELECT id, user_id, stars, text, created_at FROM reviews WHERE sku = ? AND visible = 1 \
             ORDER BY created_at DESC LIMIT 20",
            1_600,
        ),
        call(&USER_NAMES),
    ],
    ..PLAIN
};

// ---- the cart ----------------------------------------------------------------------------------

static ADD_TO_CART: Operation = Operation {
    service: Service::Cart,
    door: http("POST", "/cart/items"),
    busy_micros: 600,
    refusals: &[refusal(409, 14, "out of stock")],
    notes: &[Note::UserId, Note::Sku, Note::CartItems],
    steps: &[
        call(&CHECK_SESSION),
        Step::Together(&[call(&STOCK), call(&PRICE)]),
        cache("HSET", "cart:{user}"),
        cache("EXPIRE", "cart:{user}"),
    ],
    ..PLAIN
};

static VIEW_CART: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/cart"),
    busy_micros: 700,
    notes: &[Note::UserId, Note::CartItems, Note::CouponCodes],
    steps: &[
        call(&CHECK_SESSION),
        cache("HGETALL", "cart:{user}"),
        Step::Together(&[call(&PRICES), call(&STOCK), ask(&COUPONS)]),
        work("add up cart", 210),
    ],
    ..PLAIN
};

static CART_BADGE: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/internal/cart/{user}/size"),
    busy_micros: 250,
    notes: &[Note::UserId],
    steps: &[cache("HLEN", "cart:{user}")],
    ..PLAIN
};

static CART_FOR_ORDER: Operation = Operation {
    service: Service::Cart,
    door: http("GET", "/internal/cart/{user}"),
    busy_micros: 420,
    notes: &[Note::UserId, Note::CartItems],
    steps: &[cache("HGETALL", "cart:{user}")],
    ..PLAIN
};

// ---- buying ------------------------------------------------------------------------------------

static CHECKOUT: Operation = Operation {
    service: Service::Order,
    door: http("POST", "/orders"),
    busy_micros: 1_500,
    fails_per_mille: 3,
    refusals: &[refusal(422, 8, "address is incomplete")],
    notes: &[Note::UserId, Note::OrderId, Note::OrderTotal, Note::CouponCodes],
    steps: &[
        call(&CHECK_SESSION),
        call(&CART_FOR_ORDER),
        Step::Together(&[call(&PRICES), insist(&USE_COUPON), call(&SHIPPING_COST)]),
        call(&RISK),
        insist(&RESERVE),
        query("BEGIN", "BEGIN", 160),
        query(
            "INSERT orders",
            "INSERT INTO orders (id, user_id, state, total, currency, created_at) VALUES (?, ?, \
             'created', ?, 'CNY', ?)",
            1_100,
        ),
        Step::Repeat {
            least: 1,
            most: 6,
            steps: &[query(
                "INSERT order_items",
                "INSERT INTO order_items (order_id, sku, quantity, price) VALUES (?, ?, ?, ?)",
                620,
            )],
        },
        query("COMMIT", "COMMIT", 1_900),
        publish(&ORDER_CREATED),
        cache("DEL", "cart:{user}"),
    ],
    ..PLAIN
};

static PAY: Operation = Operation {
    service: Service::Payment,
    door: http("POST", "/orders/{order}/pay"),
    busy_micros: 2_400,
    fails_per_mille: 3,
    refusals: &[refusal(402, 22, "card declined"), refusal(409, 6, "order is already paid")],
    notes: &[Note::UserId, Note::OrderId, Note::OrderTotal, Note::RiskScore],
    steps: &[
        call(&CHECK_SESSION),
        call(&ORDER_TO_PAY),
        call(&RISK),
        query(
            "INSERT payments",
            "INSERT INTO payments (id, order_id, amount, state) VALUES (?, ?, ?, 'pending')",
            1_300,
        ),
        Step::Partner { partner: &BANK, patience: Patience::Attempts(3) },
        query(
            "UPDATE payments",
            "UPDATE payments SET state = 'paid', bank_reference = ? WHERE id = ? AND state = \
             'pending'",
            1_500,
        ),
        publish(&ORDER_PAID),
        insist(&MARK_PAID),
    ],
    ..PLAIN
};

static ORDER_TO_PAY: Operation = Operation {
    service: Service::Order,
    door: http("GET", "/internal/orders/{order}"),
    busy_micros: 450,
    notes: &[Note::OrderId],
    steps: &[
        query(
            "SELECT orders",
            "SELECT id, user_id, state, total, currency FROM orders WHERE id = ? FOR UPDATE",
            1_200,
        ),
        query(
            "SELECT order_items",
            "SELECT sku, quantity, price FROM order_items WHERE order_id = ?",
            800,
        ),
    ],
    ..PLAIN
};

static MARK_PAID: Operation = Operation {
    service: Service::Order,
    door: http("PUT", "/internal/orders/{order}/state"),
    busy_micros: 380,
    fails_per_mille: 4,
    notes: &[Note::OrderId],
    steps: &[query(
        "UPDATE orders",
        "UPDATE orders SET state = 'paid', paid_at = ? WHERE id = ?",
        1_400,
    )],
    ..PLAIN
};

static MY_ORDERS: Operation = Operation {
    service: Service::Mall,
    door: http("GET", "/my/orders"),
    busy_micros: 1_700,
    notes: &[Note::UserId, Note::UserTier],
    steps: &[
        call(&CHECK_SESSION),
        call(&ORDERS_OF_USER),
        sometimes(600, &[ask(&PARCELS)]),
        work("render orders", 1_300),
    ],
    ..PLAIN
};

static ORDERS_OF_USER: Operation = Operation {
    service: Service::Order,
    door: http("GET", "/internal/users/{user}/orders"),
    busy_micros: 520,
    notes: &[Note::UserId],
    steps: &[
        query(
            "SELECT orders",
            "SELECT id, state, total, currency, created_at FROM orders WHERE user_id = ? ORDER BY \
             created_at DESC LIMIT 10",
            2_300,
        ),
        query(
            "SELECT order_items",
            "SELECT order_id, sku, quantity FROM order_items WHERE order_id IN (?, ?, ?, ?, ?)",
            1_500,
        ),
    ],
    ..PLAIN
};

// ---- visitors ----------------------------------------------------------------------------------

static LOGIN: Operation = Operation {
    service: Service::User,
    door: http("POST", "/login"),
    busy_micros: 1_600,
    refusals: &[refusal(401, 60, "wrong password"), refusal(429, 9, "too many attempts")],
    notes: &[Note::UserId, Note::SessionId],
    steps: &[
        query(
            "SELECT users",
            "SELECT id, password_hash, tier, locked_until FROM users WHERE phone = '138****{tail}'",
            900,
        ),
        work("verify password", 58_000),
        call(&RISK),
        call(&NEW_SESSION),
        query("UPDATE users", "UPDATE users SET last_login_at = NOW() WHERE id = {user}", 1_000),
    ],
    ..PLAIN
};

static CHECK_SESSION: Operation = Operation {
    service: Service::Auth,
    door: rpc("shop.auth.v1.Auth/CheckSession"),
    busy_micros: 180,
    notes: &[Note::UserId],
    steps: &[cached(
        "session:{session}",
        960,
        &[query("SELECT sessions", "SELECT user_id, expires_at FROM sessions WHERE id = ?", 700)],
    )],
    ..PLAIN
};

static NEW_SESSION: Operation = Operation {
    service: Service::Auth,
    door: rpc("shop.auth.v1.Auth/NewSession"),
    busy_micros: 240,
    notes: &[Note::UserId],
    steps: &[
        work("sign token", 320),
        query(
            "INSERT sessions",
            "INSERT INTO sessions (id, user_id, expires_at) VALUES (?, ?, ?)",
            900,
        ),
        cache("SETEX", "session:{session}"),
    ],
    ..PLAIN
};

static USER_NAMES: Operation = Operation {
    service: Service::User,
    door: http("GET", "/internal/users"),
    busy_micros: 800,
    steps: &[
        cache("MGET", "user:{user} user:{sku} user:{tail}"),
        sometimes(
            300,
            &[query(
                "SELECT users",
                "SELECT id, nick_name, avatar, tier FROM users WHERE id IN ({user}, {sku}, {tail})",
                900,
            )],
        ),
    ],
    ..PLAIN
};

// ---- products ----------------------------------------------------------------------------------

static PRODUCT: Operation = Operation {
    service: Service::Catalog,
    door: http("GET", "/internal/products/{sku}"),
    busy_micros: 350,
    notes: &[Note::Sku],
    steps: &[cached(
        "product:{sku}",
        820,
        &[
            query(
                "SELECT products",
                "SELECT id, title, brand, images, attributes FROM products WHERE id = ?",
                1_100,
            ),
            query(
                "SELECT categories",
                "SELECT id, name, parent_id FROM categories WHERE id IN (?, ?, ?)",
                600,
            ),
            cache("SETEX", "product:{sku}"),
        ],
    )],
    ..PLAIN
};

static NEW_PRODUCTS: Operation = Operation {
    service: Service::Catalog,
    door: http("GET", "/internal/products"),
    busy_micros: 600,
    steps: &[query(
        "SELECT products",
        "SELECT id, title, images FROM products WHERE on_sale = 1 ORDER BY listed_at DESC LIMIT 24",
        4_200,
    )],
    ..PLAIN
};

static BANNERS: Operation = Operation {
    service: Service::Coupon,
    door: http("GET", "/internal/banners"),
    busy_micros: 900,
    steps: &[cached(
        "banners:{city}",
        700,
        &[query(
            "SELECT banners",
            "SELECT id, image, link FROM banners WHERE city = '{city}' AND NOW() BETWEEN starts_at AND ends_at",
            1_000,
        )],
    )],
    ..PLAIN
};

static PRICE: Operation = Operation {
    service: Service::Price,
    door: http("GET", "/internal/prices/{sku}"),
    busy_micros: 260,
    notes: &[Note::Sku],
    steps: &[cached(
        "price:{sku}",
        900,
        &[query(
            "SELECT prices",
            "SELECT sku, amount, currency, valid_to FROM prices WHERE sku = ?",
            700,
        )],
    )],
    ..PLAIN
};

static PRICES: Operation = Operation {
    service: Service::Price,
    door: http("POST", "/internal/prices"),
    busy_micros: 480,
    steps: &[cache("MGET", "price:{sku} price:{user} price:{tail}"), work("apply discounts", 190)],
    ..PLAIN
};

static STOCK: Operation = Operation {
    service: Service::Inventory,
    door: rpc("shop.inventory.v1.Inventory/GetStock"),
    busy_micros: 150,
    notes: &[Note::Sku],
    steps: &[cache("HMGET", "stock:{sku}")],
    ..PLAIN
};

static RESERVE: Operation = Operation {
    service: Service::Inventory,
    door: rpc("shop.inventory.v1.Inventory/Reserve"),
    busy_micros: 420,
    fails_per_mille: 9,
    refusals: &[refusal(409, 12, "out of stock")],
    notes: &[Note::OrderId],
    steps: &[
        query(
            "UPDATE stock",
            "UPDATE stock SET reserved = reserved + ? WHERE sku = ? AND on_hand - reserved >= ?",
            1_700,
        ),
        cache("HINCRBY", "stock:{sku}"),
    ],
    ..PLAIN
};

static REVIEW_SUMMARY: Operation = Operation {
    service: Service::Review,
    door: http("GET", "/internal/reviews/{sku}/summary"),
    busy_micros: 700,
    notes: &[Note::Sku],
    steps: &[cached(
        "reviews:{sku}",
        850,
        &[query(
            "SELECT reviews",
            "SELECT COUNT(*), AVG(stars) FROM reviews WHERE sku = ? AND visible = 1",
            2_400,
        )],
    )],
    ..PLAIN
};

static RECOMMEND: Operation = Operation {
    service: Service::Recommend,
    door: http("GET", "/internal/recommendations/{user}"),
    busy_micros: 1_200,
    fails_per_mille: 6,
    notes: &[Note::UserId],
    steps: &[
        cache("ZREVRANGE", "seen:{user}"),
        work("load embedding", 900),
        work("score candidates", 7_800),
    ],
    ..PLAIN
};

static COUPONS: Operation = Operation {
    service: Service::Coupon,
    door: http("GET", "/internal/users/{user}/coupons"),
    busy_micros: 850,
    fails_per_mille: 2,
    notes: &[Note::UserId, Note::CouponCodes],
    steps: &[query(
        "SELECT coupons",
        "SELECT code, percent, least_total, expires_at FROM coupons WHERE user_id = {user} AND used_at IS NULL",
        1_300,
    )],
    ..PLAIN
};

static USE_COUPON: Operation = Operation {
    service: Service::Coupon,
    door: http("POST", "/internal/coupons/use"),
    busy_micros: 900,
    fails_per_mille: 7,
    refusals: &[refusal(410, 10, "coupon has expired")],
    notes: &[Note::UserId, Note::OrderId, Note::CouponCodes],
    steps: &[query(
        "UPDATE coupons",
        "UPDATE coupons SET used_at = NOW(), order_id = '{order}' WHERE user_id = {user} AND used_at IS NULL LIMIT 1",
        1_800,
    )],
    ..PLAIN
};

static SHIPPING_COST: Operation = Operation {
    service: Service::Shipping,
    door: http("GET", "/internal/shipping/cost"),
    busy_micros: 500,
    steps: &[
        cached(
            "zone:{city}",
            930,
            &[Step::Partner { partner: &MAP, patience: Patience::Attempts(2) }],
        ),
        work("pack parcels", 350),
    ],
    ..PLAIN
};

static RISK: Operation = Operation {
    service: Service::Risk,
    door: http("POST", "/internal/risk"),
    busy_micros: 310,
    refusals: &[refusal(403, 4, "looks like a robot")],
    notes: &[Note::UserId, Note::RiskScore],
    steps: &[cache("ZCOUNT", "attempts:{user}"), work("run rules", 640)],
    ..PLAIN
};

static WRITE_REVIEW: Operation = Operation {
    service: Service::Review,
    door: http("POST", "/product/{sku}/reviews"),
    busy_micros: 1_300,
    refusals: &[refusal(403, 30, "product was not bought")],
    notes: &[Note::UserId, Note::Sku],
    steps: &[
        call(&CHECK_SESSION),
        work("filter words", 2_100),
        query(
            "INSERT reviews",
            "INSERT INTO reviews (sku, user_id, stars, text) VALUES (?, ?, ?, ?)",
            1_200,
        ),
        cache("DEL", "reviews:{sku}"),
    ],
    ..PLAIN
};

static PARCELS: Operation = Operation {
    service: Service::Shipping,
    door: http("GET", "/internal/users/{user}/parcels"),
    busy_micros: 520,
    notes: &[Note::UserId],
    steps: &[
        query(
            "SELECT parcels",
            "SELECT id, carrier, state FROM parcels WHERE user_id = ? ORDER BY id DESC LIMIT 5",
            1_100,
        ),
        Step::Partner { partner: &CARRIER, patience: Patience::Attempts(2) },
    ],
    ..PLAIN
};

// ---- messages ----------------------------------------------------------------------------------

static ORDER_CREATED: Topic = Topic {
    name: "order.created",
    n_partitions: 12,
    followers: &[&HOLD_STOCK],
    readers: &[&LEARN_TASTE],
};

static ORDER_PAID: Topic = Topic {
    name: "order.paid",
    n_partitions: 12,
    followers: &[],
    readers: &[&SEND_INVOICE, &SEND_MESSAGES, &CREATE_SHIPMENT],
};

static SHIPMENT_CREATED: Topic =
    Topic { name: "shipment.created", n_partitions: 6, followers: &[], readers: &[&SEND_MESSAGES] };

static HOLD_STOCK: Operation = Operation {
    service: Service::Inventory,
    door: consume("order.created", "inventory"),
    busy_micros: 400,
    fails_per_mille: 3,
    notes: &[Note::OrderId],
    steps: &[
        query("UPDATE stock", "UPDATE stock SET held = held + ? WHERE sku = ?", 1_500),
        cache("HINCRBY", "stock:{sku}"),
    ],
    ..PLAIN
};

static LEARN_TASTE: Operation = Operation {
    service: Service::Recommend,
    door: consume("order.created", "recommend"),
    busy_micros: 900,
    notes: &[Note::UserId],
    steps: &[work("update embedding", 5_200), cache("ZADD", "seen:{user}")],
    ..PLAIN
};

static SEND_INVOICE: Operation = Operation {
    service: Service::Invoice,
    door: consume("order.paid", "invoice"),
    busy_micros: 2_200,
    fails_per_mille: 6,
    notes: &[Note::OrderId, Note::OrderTotal],
    steps: &[
        call(&ORDER_TO_PAY),
        work("draw invoice", 24_000),
        query(
            "INSERT invoices",
            "INSERT INTO invoices (order_id, number, document) VALUES (?, ?, ?)",
            2_600,
        ),
        Step::Partner { partner: &TAX_OFFICE, patience: Patience::Attempts(4) },
    ],
    ..PLAIN
};

static SEND_MESSAGES: Operation = Operation {
    service: Service::Notify,
    door: consume("order.paid", "notify"),
    busy_micros: 1_100,
    notes: &[Note::UserId, Note::OrderId],
    steps: &[
        call(&USER_NAMES),
        Step::Together(&[
            Step::Partner { partner: &SHORT_MESSAGES, patience: Patience::Attempts(3) },
            Step::Partner { partner: &PUSH, patience: Patience::Optional },
        ]),
    ],
    ..PLAIN
};

static CREATE_SHIPMENT: Operation = Operation {
    service: Service::Shipping,
    door: consume("order.paid", "shipping"),
    busy_micros: 800,
    fails_per_mille: 4,
    notes: &[Note::OrderId],
    steps: &[
        call(&ORDER_TO_PAY),
        work("choose carrier", 450),
        Step::Partner { partner: &CARRIER, patience: Patience::Attempts(3) },
        query(
            "INSERT parcels",
            "INSERT INTO parcels (order_id, carrier, tracking_number) VALUES (?, ?, ?)",
            1_400,
        ),
        publish(&SHIPMENT_CREATED),
    ],
    ..PLAIN
};

// ---- the night ---------------------------------------------------------------------------------

static STOCK_SYNC: Operation = Operation {
    service: Service::StockSync,
    door: Door::Job { name: "nightly stock sync" },
    busy_micros: 40_000,
    steps: &[
        query(
            "SELECT warehouses",
            "SELECT id, name, feed_url FROM warehouses WHERE active = 1",
            1_500,
        ),
        Step::Lanes {
            n_lanes: 8,
            least: 40,
            most: 130,
            steps: &[
                work("read page of feed", 6_000),
                call(&STOCK),
                query(
                    "UPDATE stock",
                    "INSERT INTO stock (sku, warehouse, on_hand) VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?) ON \
                     DUPLICATE KEY UPDATE on_hand = VALUES(on_hand)",
                    2_800,
                ),
                cache("HSET", "stock:{sku}"),
            ],
        },
        work("write report", 12_000),
    ],
    ..PLAIN
};

static SETTLEMENT: Operation = Operation {
    service: Service::Settlement,
    door: Door::Job { name: "daily settlement" },
    busy_micros: 60_000,
    fails_per_mille: 60,
    steps: &[
        query(
            "SELECT payments",
            "SELECT id, order_id, amount, bank_reference FROM payments WHERE day = ?",
            48_000,
        ),
        Step::Lanes {
            n_lanes: 12,
            least: 20,
            most: 90,
            steps: &[
                call(&ORDER_TO_PAY),
                work("compare with bank statement", 1_800),
                query("UPDATE payments", "UPDATE payments SET settled_at = ? WHERE id = ?", 1_100),
            ],
        },
        Step::Partner { partner: &BANK, patience: Patience::Attempts(3) },
    ],
    ..PLAIN
};

// ---- partners ----------------------------------------------------------------------------------

static BANK: Partner = Partner {
    host: "api.bank.example",
    method: "POST",
    path: "/v3/charges",
    micros: 165_000,
    fails_per_mille: 28,
};

static TAX_OFFICE: Partner = Partner {
    host: "invoices.tax.example",
    method: "POST",
    path: "/einvoice/v2/documents",
    micros: 240_000,
    fails_per_mille: 45,
};

static SHORT_MESSAGES: Partner = Partner {
    host: "sms.carrier.example",
    method: "POST",
    path: "/2025-01-01/messages",
    micros: 85_000,
    fails_per_mille: 18,
};

static PUSH: Partner = Partner {
    host: "push.phone.example",
    method: "POST",
    path: "/v1/projects/shop/messages:send",
    micros: 60_000,
    fails_per_mille: 15,
};

static CARRIER: Partner = Partner {
    host: "track.parcel.example",
    method: "GET",
    path: "/api/v4/parcels",
    micros: 110_000,
    fails_per_mille: 22,
};

static MAP: Partner = Partner {
    host: "map.example",
    method: "GET",
    path: "/geocode/v3",
    micros: 38_000,
    fails_per_mille: 10,
};
