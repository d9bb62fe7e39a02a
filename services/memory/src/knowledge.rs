//! What is known of people: ranked for a question, and changed through the gate.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::memory::{FACTS, Fact};
use domain::message::Audience;
use learn::relation::{Relation, relevant};
use learn::strength::rank;
use recall::terms;
use service_kit::breaker::Breaker;
use service_kit::clock::now_ms;
use tracing::warn;

use crate::indexes::Found;
use crate::indexes::Repetitions::AsRanked;
use crate::learning::{New, Plan, dynamics, is_beside, plan};
use crate::mirrors::GraphStore;
use crate::ports::{Facts, MemoryError, Remembered};
use crate::scope::Scope;
use crate::search::{Asked, Search};

/// Key memories of a prompt, at most.
const KEYS: u32 = 15;
/// The nearest facts that a new one is compared with.
const NEIGHBOURS: usize = 50;
/// The facts that are ranked for a question.
const RANKED: usize = 80;
/// Those that are looked through where not all of them count: in a group, and of projects.
const OF_FEW: usize = 400;
/// The facts among which those that fit are looked for.
const LOOKED_AT: usize = 200;
/// The newest relations that are looked through for a question.
const RELATIONS: u32 = 1000;
/// How long a graph store may take; then the database must do.
const WALK: Duration = Duration::from_secs(2);
/// The cosine from which a fact fits a question that shares no word with it.
const FITS: f32 = 0.4;

pub(crate) struct Knowledge {
    pub(crate) facts: Arc<dyn Facts>,
    pub(crate) search: Arc<Search>,
    /// Walks relations; the database has them too.
    pub(crate) graph: Option<Arc<dyn GraphStore>>,
    pub(crate) breaker: Breaker,
}

impl Knowledge {
    /// What a turn works from: what stands in every prompt, then what fits the
    /// question and is strong, of the person and of the project each so much. A group
    /// sees what is public alone; that is read from the database each time.
    pub(crate) async fn recall(
        &self,
        user: &str,
        audience: Audience,
        project: &str,
        asked: &Asked,
        limit: u32,
    ) -> Result<Vec<Fact>, MemoryError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // A question without words leaves the order to strength.
        let wordless = Asked { text: "?".to_owned(), embedding: None };
        let asked = if asked.text.is_empty() { &wordless } else { asked };
        let may_see = |fact: &Fact| {
            (audience == Audience::Direct || fact.is_public) && (fact.project.is_empty() || fact.project == project)
        };
        // A project's own must not crowd out the person's, nor they it.
        let ranked = if project.is_empty() { RANKED } else { OF_FEW };
        let (fits, found) = self.near(user, asked, ranked, |known| may_see(&known.fact)).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut facts: Vec<Fact> =
            self.facts.keys(user, FACTS as u32).await?.into_iter().filter(may_see).take(KEYS as usize).collect();
        let now = now_ms();
        let weigh = |known: &Remembered| {
            let fit = fits.get(&known.fact.id).map_or(0.0, |found| found.fit);
            rank(fit, dynamics(known.strength, known.graded_at_ms, now))
        };
        let mut ranked: Vec<(f64, Fact)> = found
            .into_iter()
            .filter(|known| may_see(&known.fact) && !facts.iter().any(|key| key.id == known.fact.id))
            .map(|known| (weigh(&known), known.fact))
            .collect();
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.id.cmp(&other.1.id)));
        let (own, of_project): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|(_, fact)| fact.project.is_empty());
        let best = |of_them: Vec<(f64, Fact)>| of_them.into_iter().take(limit as usize).map(|(_, fact)| fact);
        facts.extend(best(own).chain(best(of_project)));
        Ok(facts)
    }

    /// The relations that matter for a question, as lines.
    pub(crate) async fn relations(
        &self,
        user: &str,
        audience: Audience,
        project: &str,
        query: &str,
        limit: u32,
    ) -> Result<Vec<String>, MemoryError> {
        let all = match self.walk(user, audience, project, query).await? {
            Some(walked) => walked,
            None => self.facts.relations(user, audience == Audience::Group, project, RELATIONS).await?,
        };
        let found = relevant(&all, query, limit as usize).into_iter();
        Ok(found.map(|found| format!("{} — {} — {}", found.subject, found.predicate, found.object)).collect())
    }

    /// The same of the facts that the graph store names, as the database has them and as far
    /// as they may be seen, the newest first; none without such a store, or while it is away.
    async fn walk(
        &self,
        user: &str,
        audience: Audience,
        project: &str,
        query: &str,
    ) -> Result<Option<Vec<Relation>>, MemoryError> {
        let Some(graph) = self.graph.as_ref().filter(|_| self.breaker.allows(now_ms())) else { return Ok(None) };
        let around = tokio::time::timeout(WALK, graph.around(user, &terms(query), RELATIONS as usize)).await;
        self.breaker.note(matches!(around, Ok(Ok(_))), now_ms());
        let found = match around {
            Ok(Ok(found)) => found,
            Ok(Err(err)) => {
                warn!(error = %err, "reading relations from the database");
                return Ok(None);
            }
            Err(_) => {
                warn!(store = graph.name(), "a graph store is slow; reading relations from the database");
                return Ok(None);
            }
        };
        let ids: Vec<String> = found.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        Ok(Some(self.facts.relations_of(user, audience == Audience::Group, project, &ids).await?))
    }

    /// Whether less is known than could be, because a store or the model is away.
    pub(crate) fn is_degraded(&self) -> bool {
        self.search.is_degraded() || self.breaker.is_failing()
    }

    /// The facts that fit a question by a word, or by their meaning; best first.
    pub(crate) async fn matching(&self, user: &str, query: &str, limit: usize) -> Result<Vec<Fact>, MemoryError> {
        let asked = self.search.ask(query).await;
        let found = self.search.find(&Scope::Facts(user.to_owned()), &asked, (LOOKED_AT.max(limit), AsRanked)).await?;
        let fits = |found: &&Found| found.shares_term || found.meaning.is_some_and(|meaning| meaning >= FITS);
        let ids: Vec<String> = found.iter().filter(fits).take(limit).map(|found| found.id.clone()).collect();
        let mut known = self.facts.find(user, &ids).await?;
        known.sort_by_key(|known| ids.iter().position(|id| *id == known.fact.id));
        Ok(known.into_iter().map(|known| known.fact).collect())
    }

    /// What would become of a statement.
    pub(crate) async fn plan(&self, user: &str, new: &New) -> Result<Plan, MemoryError> {
        let asked = self.search.ask(&new.statement.text).await;
        let (found, near) = self.near(user, &asked, NEIGHBOURS, |known| is_beside(known, new)).await?;
        Ok(plan(new, &near, |id| found.get(id)?.meaning.map(f64::from)))
    }

    /// Puts a statement through the gate, and gives the fact that holds it then.
    pub(crate) async fn store(&self, user: &str, actor: &str, new: &New) -> Result<Option<Fact>, MemoryError> {
        let plan = self.plan(user, new).await?;
        self.carry_out(user, actor, &plan).await?;
        Ok(self.facts.find(user, &[plan.fact]).await?.pop().map(|known| known.fact))
    }

    /// Does what a plan says.
    pub(crate) async fn carry_out(&self, user: &str, actor: &str, plan: &Plan) -> Result<(), MemoryError> {
        self.facts.change(user, actor, now_ms(), &plan.changes, None).await
    }

    /// Of the facts that count, those nearest to what is asked, and as what each was found,
    /// by id.
    async fn near(
        &self,
        user: &str,
        asked: &Asked,
        limit: usize,
        counts: impl Fn(&Remembered) -> bool,
    ) -> Result<(HashMap<String, Found>, Vec<Remembered>), MemoryError> {
        let find = async |limit: usize| {
            let found = self.search.find(&Scope::Facts(user.to_owned()), asked, (limit, AsRanked)).await?;
            let ids: Vec<String> = found.iter().map(|found| found.id.clone()).collect();
            let facts = self.facts.find(user, &ids).await?;
            Ok::<_, MemoryError>((found, facts))
        };
        let (mut found, mut facts) = find(limit).await?;
        // What does not count here must not crowd out what does.
        if !facts.iter().all(&counts) {
            (found, facts) = find(limit.max(OF_FEW)).await?;
            facts.retain(&counts);
        }
        Ok((found.into_iter().map(|found| (found.id.clone(), found)).collect(), facts))
    }
}
