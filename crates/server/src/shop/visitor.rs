//! Who came to the shop and what he wants: the values behind the texts of one trace.
//!
//! In: chance. Out: one visitor per trace, and texts with `{user}`, `{sku}`, ... filled in. A few
//! products and users are far more popular than the others, as everywhere.

use std::borrow::Cow;
use std::fmt::Write;

use super::operation::Note;
use super::random::Random;
use super::service::BROWSERS;
use super::span::{Attribute, Text, attribute};

pub(crate) const N_USERS: u64 = 2_000_000;
const N_PRODUCTS: u64 = 80_000;

/// One visitor, for the time of one trace.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) user_id: u64,
    sku: u64,
    order: u64,
    session: u64,
    city: &'static str,
    word: &'static str,
    page: u64,
    asset: &'static str,
    n_items: u64,
    total_cents: u64,
    pub(crate) user_agent: &'static str,
    address_tail: u64,
}

static CITIES: [&str; 12] = [
    "beijing",
    "shanghai",
    "guangzhou",
    "shenzhen",
    "hangzhou",
    "chengdu",
    "wuhan",
    "xian",
    "nanjing",
    "qingdao",
    "xiamen",
    "urumqi",
];
static WORDS: [&str; 16] = [
    "tea",
    "青瓷茶具",
    "rain boots",
    "雨伞",
    "rice cooker",
    "keyboard",
    "耳机",
    "lamp",
    "手机壳",
    "socks",
    "月饼",
    "desk",
    "bicycle light",
    "围巾",
    "paper",
    "wok",
];
static ASSETS: [&str; 8] = [
    "app.9f31c2.js",
    "app.1b70aa.css",
    "logo.svg",
    "vendor.77e0d4.js",
    "fonts/sans.woff2",
    "img/banner-1.avif",
    "img/banner-2.avif",
    "favicon.ico",
];
static TIERS: [&str; 4] = ["plain", "silver", "gold", "jade"];
static COUPON_CODES: [&str; 6] =
    ["WELCOME10", "AUTUMN5", "FREESHIP", "TEA20", "双十一", "BIRTHDAY"];

impl Visitor {
    pub(crate) fn arrive(random: &mut Random) -> Self {
        Self {
            user_id: 1 + popular(N_USERS, random),
            sku: 100_000 + popular(N_PRODUCTS, random),
            order: random.below(1_000_000_000_000),
            session: random.bits(),
            city: random.pick(&CITIES),
            word: random.pick(&WORDS),
            page: 1 + popular(6, random),
            asset: random.pick(&ASSETS),
            n_items: random.between(1, 7),
            total_cents: random.long_tail(18_900),
            user_agent: random.pick(&BROWSERS),
            address_tail: random.below(1 << 16),
        }
    }

    /// Somebody else's wishes in the same trace: the next message of a batch, the next page of a job.
    pub(crate) fn turn_page(&mut self, random: &mut Random) {
        self.user_id = 1 + popular(N_USERS, random);
        self.sku = 100_000 + popular(N_PRODUCTS, random);
        self.order = random.below(1_000_000_000_000);
    }

    /// 198.18.0.0/15 is reserved for tests (RFC 2544), so these are nobody's addresses.
    pub(crate) fn address(&self) -> String {
        format!("198.18.{}.{}", self.address_tail >> 8, self.address_tail & 0xff)
    }

    pub(crate) fn order_key(&self) -> String {
        format!("SO{:012}", self.order)
    }

    /// The query part of the address, where a page has one.
    pub(crate) fn url_query(&self, route: &str) -> Option<String> {
        match route {
            "/search" => Some(format!("q={}&page={}", self.word, self.page)),
            "/product/{sku}/reviews" => Some(format!("page={}", self.page)),
            "/internal/users" => Some(format!("ids={},{},{}", self.user_id, self.sku, self.page)),
            _ => None,
        }
    }

    /// Fills the visitor into `template`; braces around other words stay as they are.
    pub(crate) fn fill(&self, template: &'static str) -> Text {
        if !template.contains('{') {
            return Cow::Borrowed(template);
        }
        let mut filled = String::with_capacity(template.len() + 16);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            match after.split_once('}') {
                Some((name, behind)) if self.write(name, &mut filled) => rest = behind,
                _ => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        Cow::Owned(filled)
    }

    /// Writes the value called `name`; false when there is none.
    fn write(&self, name: &str, text: &mut String) -> bool {
        let written = match name {
            "user" => write!(text, "{}", self.user_id),
            "sku" => write!(text, "{}", self.sku),
            "order" => write!(text, "SO{:012}", self.order),
            "session" => write!(text, "{:016x}", self.session),
            "city" => write!(text, "{}", self.city),
            "word" => write!(text, "{}", self.word),
            "page" => write!(text, "{}", self.page),
            "asset" => write!(text, "{}", self.asset),
            "tail" => write!(text, "{:04}", self.order % 10_000),
            _ => return false,
        };
        written.is_ok()
    }

    pub(crate) fn note(&self, note: Note) -> Attribute {
        match note {
            Note::UserId => attribute("shop.user.id", self.user_id as i64),
            Note::UserTier => {
                attribute("shop.user.tier", TIERS[self.user_id as usize % TIERS.len()])
            }
            Note::SessionId => attribute("session.id", format!("{:016x}", self.session)),
            Note::Sku => attribute("shop.product.sku", self.sku as i64),
            Note::CartItems => attribute("shop.cart.items", self.n_items as i64),
            Note::OrderId => attribute("shop.order.id", self.order_key()),
            Note::OrderTotal => attribute("shop.order.total", self.total_cents as f64 / 100.0),
            Note::CouponCodes => attribute("shop.coupon.codes", self.coupon_codes()),
            Note::SearchWords => attribute("shop.search.words", self.word),
            Note::RiskScore => {
                attribute("shop.risk.score", (self.address_tail % 1000) as f64 / 1000.0)
            }
            Note::FirstVisit => {
                attribute("shop.visitor.first_visit", self.session.is_multiple_of(5))
            }
        }
    }

    fn coupon_codes(&self) -> Vec<Text> {
        let n_codes = (self.session % 3) as usize;
        let first = (self.session >> 8) as usize;
        (0..n_codes)
            .map(|i| Cow::Borrowed(COUPON_CODES[(first + i) % COUPON_CODES.len()]))
            .collect()
    }
}

/// A number below `bound`, small ones far more often.
fn popular(bound: u64, random: &mut Random) -> u64 {
    let once = random.below(bound);
    random.below(once + 1)
}
