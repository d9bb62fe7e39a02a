//! What people and channels may spend on a day: a model call is reserved before it is made,
//! across all replicas, and settled after it. Without limits nothing is counted.

use std::sync::Arc;
use std::time::Duration;

use bus::{AccountKey, Spending};
use domain::chat::{Answer, ChatRequest};
use domain::ids::ConversationId;
use domain::journal::Fault;
use domain::spending::{Allowance, Cost, Price, Reserved};
use domain::tier::Tier;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::ModelError;
use service_kit::clock::now_ms;
use service_kit::settings::Settings;
use service_kit::task::{self, TaskKind};
use tracing::warn;

/// What is allowed, what a call costs, and the accounts that it is counted in.
pub struct Budgets {
    spending: Spending,
    of_person: Allowance,
    of_channel: Allowance,
    prices: [Price; 3],
    zone: TimeZone,
    /// How long a call may take, with all of its tries.
    longest: Duration,
}

/// Who pays for a call.
pub struct Paying<'a> {
    /// The id of a person; none: only the conversation pays.
    pub person: Option<&'a str>,
    /// Where it is for; none: only the person pays.
    pub conversation: Option<&'a ConversationId>,
    /// By what it is known: the same again takes the place of the one before.
    pub call: String,
    pub tier: Tier,
}

/// A call that was reserved. One that breaks off, because this is dropped, has cost what it was
/// given to read and what it had said.
pub(crate) struct Claim {
    budgets: Arc<Budgets>,
    /// Those that it is settled in; none any more when it is.
    accounts: Vec<AccountKey>,
    call: String,
    price: Price,
    /// What it reads, and what it has said so far, as they are counted here.
    input_tokens: u64,
    output_tokens: u64,
}

impl Claim {
    /// More of what it says.
    pub(crate) fn hear(&mut self, text: &str) {
        self.output_tokens += model::count_tokens(text) as u64;
    }

    /// Counts what it has cost.
    pub(crate) async fn settle(mut self, answered: &Result<Answer, ModelError>) {
        let cost = match answered {
            Ok(Answer { usage, .. }) if usage.input_tokens + usage.output_tokens > 0 => {
                self.price.of(usage.input_tokens, usage.output_tokens)
            }
            // Not every vendor says it.
            Ok(answer) => self.price.of(self.input_tokens, model::count_tokens(&answer.text) as u64),
            Err(ModelError { fault: Fault::Transient, .. }) => self.cost_so_far(),
            Err(_) => Cost::default(),
        };
        let (budgets, accounts) = (Arc::clone(&self.budgets), std::mem::take(&mut self.accounts));
        let call = std::mem::take(&mut self.call);
        // By itself: whoever waits for this may be ended, and it is counted all the same.
        let settling = async move { budgets.settle(&accounts, &call, cost).await };
        let _ = task::spawn(TaskKind::Work, "settle-call", settling).await;
    }

    fn cost_so_far(&self) -> Cost {
        self.price.of(self.input_tokens, self.output_tokens)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.accounts.is_empty() {
            return;
        }
        let cost = self.cost_so_far();
        let (budgets, accounts) = (Arc::clone(&self.budgets), std::mem::take(&mut self.accounts));
        let call = std::mem::take(&mut self.call);
        // Whoever stops every answer just before its end would spend nothing else.
        task::spawn(TaskKind::Work, "settle-call", async move { budgets.settle(&accounts, &call, cost).await });
    }
}

impl Budgets {
    /// Those that are configured; nothing if none is. `longest`: how long a call may take,
    /// with all of its tries. Errors: a price that cannot be read, and a bus without accounts.
    pub async fn open(settings: &Settings, bus: &bus::Bus, longest: Duration) -> anyhow::Result<Option<Arc<Self>>> {
        let limit = |name: &str| Some(settings.number(name)).filter(|limit| *limit > 0);
        let allowance = |of: &str| Allowance {
            tokens: limit(&format!("CLARA_BUDGET_{of}_TOKENS")),
            micros: limit(&format!("CLARA_BUDGET_{of}_CENTS")).map(|cents| cents.saturating_mul(10_000)),
        };
        let (of_person, of_channel) = (allowance("USER"), allowance("CHANNEL"));
        if of_person.is_none() && of_channel.is_none() {
            return Ok(None);
        }
        let counts_money = of_person.micros.or(of_channel.micros).is_some();
        let price = |name: &str| match settings.optional(name) {
            Some(text) => Price::parse(&text)
                .ok_or_else(|| anyhow::anyhow!("{name}={text}: give dollars a million tokens, as 3/15")),
            None => {
                if counts_money {
                    warn!(name, "a budget in money is set and this price is not: such calls count as free");
                }
                Ok(Price::default())
            }
        };
        Ok(Some(Arc::new(Self {
            spending: bus.spending().await?,
            of_person,
            of_channel,
            prices: [price("CLARA_PRICE_LOW")?, price("CLARA_PRICE_MID")?, price("CLARA_PRICE_HIGH")?],
            zone: TimeZone::get(&settings.text("DEFAULT_TIMEZONE")).unwrap_or(TimeZone::UTC),
            longest,
        })))
    }

    /// Reserves a call; the error is why it is not made.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        paying: Paying<'_>,
        request: &ChatRequest,
    ) -> Result<Claim, ModelError> {
        let now = now_ms();
        let at = Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(self.zone.clone());
        let day = at.date().to_string();
        let price = self.prices[match paying.tier {
            Tier::Low => 0,
            Tier::Mid => 1,
            Tier::High => 2,
        }];
        let input_tokens = tokens(request);
        let cost = price.of(input_tokens, u64::from(request.max_tokens));
        let until_ms = now.saturating_add(i64::try_from(self.longest.as_millis()).unwrap_or(i64::MAX));
        let (call, mut accounts) = (paying.call, Vec::new());
        let person = paying.person.map(|person| AccountKey::of_person(person, &day));
        let channel = paying.conversation.map(|conversation| AccountKey::of_channel(conversation, &day));
        for (key, allowed, fault) in
            [(person, self.of_person, Fault::OverBudget), (channel, self.of_channel, Fault::ChannelOverBudget)]
        {
            let Some(key) = key.filter(|_| !allowed.is_none()) else { continue };
            let reserved = Reserved { cost, until_ms };
            let fits =
                self.spending.change(&key, |account| account.reserve(&call, reserved, &allowed, now).then_some(()));
            let why = match fits.await {
                Ok(Some(())) => {
                    accounts.push(key);
                    continue;
                }
                Ok(None) => ModelError { fault, detail: "the day's budget is used up".to_owned() },
                Err(err) => ModelError { fault: Fault::Transient, detail: err.to_string() },
            };
            // Nothing was asked: what was reserved so far is given back.
            self.settle(&accounts, &call, Cost::default()).await;
            return Err(why);
        }
        Ok(Claim { budgets: Arc::clone(self), accounts, call, price, input_tokens, output_tokens: 0 })
    }

    async fn settle(&self, accounts: &[AccountKey], call: &str, cost: Cost) {
        for key in accounts {
            let settled = self.spending.change(key, |account| {
                account.settle(call, cost);
                Some(())
            });
            // What was reserved counts for it until it has surely ended.
            if let Err(err) = settled.await {
                warn!(error = %err, "failed to count what a model call has cost");
            }
        }
    }
}

/// Tokens of a request, as far as they can be counted here.
fn tokens(request: &ChatRequest) -> u64 {
    let texts = request.messages.iter().flat_map(|message| message.texts());
    let tools = request.tools.iter().flat_map(|tool| [tool.description.as_str(), tool.schema.as_str()]);
    let count: usize = std::iter::once(&*request.system).chain(texts).chain(tools).map(model::count_tokens).sum();
    count as u64
}
