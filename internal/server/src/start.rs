//! The start, in order: folder and lock, key, engine, sockets. What fails leaves nothing open.

use crate::admin::{self, AdminListener, AdminSocket, AdminState, SocketError};
use crate::http::{self, Ending, HttpLimits};
use crate::nsq::{self, Nsq};
use crate::nsq_http;
use crate::running::Running;
use crate::tasks::Tasks;
use crate::{Config, Telemetry, descriptors};
use axum::serve::{Listener, ListenerExt};
use lockstep_auth::{IssuerError, Issuers, KeyError, Passwords, Tokens};
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{Engine, EngineConfig, Ports};
use lockstep_gateway::{BodyLimits, GatewayConfig, GatewayState, Origins, Rate, RequestRates, TrustedProxies};
use lockstep_model::{Retention, UnixMs};
use lockstep_ports::{Broker, Events};
use lockstep_store_sql::{OpenError, SqliteOptions, SqliteStore};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system keeps while the accept loop is busy; more are refused by it.
const BACKLOG: u32 = 4_096;
/// The bounds of the admin socket, whose peers are trusted: more administrators at once wait.
const ADMIN_LIMITS: HttpLimits =
    HttpLimits { connections_max: 32, header_timeout: Duration::from_secs(30), age_max: Duration::from_secs(300) };
/// How often what the store no longer needs is deleted.
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(60 * 60);
/// How long after a start no device is taken for unseen: while the server was down none could come.
const UNSEEN_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked at which nsqds are there, and memory is given back that only speed needs.
const NSQ_PERIOD: Duration = Duration::from_secs(25);
/// How often the metrics' histograms are put in order, so that they do not grow between two readings.
const METRICS_PERIOD: Duration = Duration::from_secs(5);

/// Why the server did not start. Nothing was left open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("the data folder {} cannot be made: create it, or name another one with --data", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An issuer of outside tokens.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The address.
    #[error("{address} cannot be listened on: is another server there? Name another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The address for services that publish as to nsqd.
    #[error("{address} cannot be listened on for services: is an nsqd there? Set nsq_http.listen to another address")]
    NsqHttp {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// NSQ.
    #[error("NSQ cannot be used as configured")]
    Nsq(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two doors for the same thing.
    #[error("nsq_http.listen and nsq.nsqds are both set: with nsqds, services publish to nsqd itself; remove one")]
    NsqHttpBesideNsqds,
    /// The admin socket.
    #[error(transparent)]
    Admin(#[from] SocketError),
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Starts a server. When this returns, devices can connect and the admin socket answers.
    ///
    /// # Errors
    ///
    /// [`StartError`], in words that name what to do.
    pub async fn start(config: Config, telemetry: &Telemetry) -> Result<Running, StartError> {
        make_folder(&config.data)?;
        let limits = &config.limits;
        let to_nsqds = if config.nsq.nsqds.is_empty() { 0 } else { config.nsq.consumers_max + config.nsq.seqs_max };
        descriptors::raise_limit(limits.connections_max.saturating_add(limits.http_connections_max + to_nsqds));
        let options = SqliteOptions {
            conversations_per_user_max: limits.conversations_per_user_max as u32,
            group_members_max: limits.group_members_max as u32,
            room_members_max: limits.room_members_max as u32,
            receipts_members_max: limits.receipts_members_max as u32,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open(&config.data, options).await?;
        match open_doors(&config, &store).await {
            Ok(doors) => Ok(run(config, telemetry, store, doors)),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }
}

/// All that can still fail once the store is open.
struct Doors {
    tokens: Arc<Tokens>,
    issuers: Issuers,
    listener: TcpListener,
    local_addr: SocketAddr,
    nsq_http: Option<nsq_http::Bound>,
    admin_socket: AdminSocket,
    admin_listener: AdminListener,
    nsq: Option<Nsq>,
}

async fn open_doors(config: &Config, store: &SqliteStore) -> Result<Doors, StartError> {
    let tokens = Arc::new(Tokens::open(&config.data)?);
    let issuers = Issuers::open(config.accounts.issuer_settings())?;
    let uses_nsq = !config.nsq.nsqds.is_empty();
    if uses_nsq && config.nsq_http.listen.is_some() {
        return Err(StartError::NsqHttpBesideNsqds);
    }
    let address = config.listen;
    let (listener, local_addr) = listen(address).map_err(|source| StartError::Listen { address, source })?;
    let nsq_http = nsq_http::bind(config)?;
    let (admin_socket, admin_listener) = AdminSocket::bind(&config.data)?;
    // Last, so that nothing has to be taken back.
    let nsq = if uses_nsq { Some(nsq::start(&config.nsq, store, &tokens)?) } else { None };
    Ok(Doors { tokens, issuers, listener, local_addr, nsq_http, admin_socket, admin_listener, nsq })
}

fn run(config: Config, telemetry: &Telemetry, store: SqliteStore, doors: Doors) -> Running {
    let Doors { tokens, issuers, listener, local_addr, nsq_http, admin_socket, admin_listener, nsq } = doors;
    let (nsq, nsq_work, events) = match nsq {
        Some(Nsq { broker, raw_messages, events, janitor, janitor_period }) => {
            (Some(broker), Some((raw_messages, janitor, janitor_period)), events)
        }
        None => (None, None, None),
    };
    let broker: Arc<dyn Broker> = match &nsq {
        Some(broker) => Arc::new(broker.clone()),
        None => Arc::new(EmbeddedBroker::new()),
    };
    let ports = Ports {
        log: Arc::new(store.clone()),
        directory: Arc::new(store.clone()),
        offsets: Arc::new(store.clone()),
        broker,
        events: events.clone().map(|events| Arc::new(events) as Arc<dyn Events>),
    };
    let engine = Engine::start(ports, engine_config(&config));
    let tasks = Tasks::default();
    let ending = Ending::default();
    let metrics = telemetry.metrics().clone();
    let rendered = metrics.clone();
    let asked = store.clone();
    let gateway = GatewayState::new(
        engine.clone(),
        Arc::clone(&tokens),
        gateway_config(&config),
        ending.stopping.clone(),
        move || rendered.render(),
    )
    .writable_when(move || asked.is_writable())
    .trusting(issuers);
    let gateway = match nsq.clone() {
        Some(broker) => gateway.remarking(move || nsq::remark(&broker)),
        None => gateway,
    };
    let sockets = gateway.sockets.clone();
    let http_limits = http_limits(&config);

    let administration = lockstep_gateway::admin_router(gateway.clone());
    let router = lockstep_gateway::router(gateway);
    let public = http::serve(without_delay(listener), router, http_limits, ending.clone(), tasks.tracker());
    tasks.spawn_vital("public listener", public);
    let nsq_http_addr = nsq_http.as_ref().map(|bound| bound.local_addr);
    if let Some(bound) = nsq_http {
        nsq_http::serve(bound, &config, engine.clone(), store.clone(), &ending, &tasks);
    }
    if let Some((messages, janitor, period)) = nsq_work {
        let taking_in = nsq::take_in(engine.clone(), messages, ending.stopping.clone());
        tasks.spawn_vital("raw messages", taking_in);
        tasks.spawn_vital("NSQ janitor", janitor.run(period, ending.stopping.clone()));
    }
    if let Some(broker) = nsq.clone() {
        tasks.spawn_periodic("NSQ upkeep", NSQ_PERIOD, ending.stopping.clone(), move || {
            let _remark = nsq::remark(&broker);
            broker.forget_recent();
            std::future::ready(())
        });
    }
    let passwords = Passwords::new(config.password_settings());
    let admin_state = AdminState::new(engine.clone(), tokens, config.token_ttl(), body_limits(&config), passwords);
    let admin = http::serve(
        admin_listener,
        admin::router(admin_state, administration),
        ADMIN_LIMITS,
        ending.clone(),
        tasks.tracker(),
    );
    tasks.spawn_vital("admin listener", admin);
    let maintained = store.clone();
    tasks.spawn_periodic("store maintenance", MAINTENANCE_PERIOD, ending.stopping.clone(), move || {
        let store = maintained.clone();
        async move { maintain(&store).await }
    });
    let retention = config.retention.rules();
    if !retention.is_none() {
        let expiring = engine.clone();
        tasks.spawn_periodic("retention", config.retention.period(), ending.stopping.clone(), move || {
            let engine = expiring.clone();
            async move { expire(&engine, &retention).await }
        });
    }
    let started = std::time::Instant::now();
    let (unseen, kept, upkept) = (config.devices.unseen(), config.devices.teardowns_kept(), engine.clone());
    tasks.spawn_periodic("device upkeep", MAINTENANCE_PERIOD, ending.stopping.clone(), move || {
        let engine = upkept.clone();
        let unseen = unseen.filter(|unseen| started.elapsed() >= (*unseen).min(UNSEEN_GRACE));
        async move { keep_devices(&engine, unseen, kept, UnixMs::now()).await }
    });
    tasks.spawn_periodic("metrics upkeep", METRICS_PERIOD, ending.stopping.clone(), move || {
        metrics.run_upkeep();
        std::future::ready(())
    });

    tracing::info!(%local_addr, data = %config.data.display(), epoch = %engine.epoch(), "the server runs");
    if !local_addr.ip().is_loopback() {
        tracing::warn!("tokens pass in clear text beyond this machine: put a proxy with TLS in front");
    }
    let stop_timeout = Duration::from_millis(config.limits.stop_timeout_ms);
    Running {
        local_addr,
        nsq_http_addr,
        data: config.data,
        stop_timeout,
        engine,
        store,
        sockets,
        ending,
        tasks,
        admin_socket,
        nsq,
        events,
    }
}

async fn maintain(store: &SqliteStore) {
    match store.maintain(UnixMs::now()).await {
        Ok(done) => tracing::info!(done.sends_forgotten, done.entries_deleted, "the store was maintained"),
        Err(error) => tracing::warn!(%error, "the store could not be maintained; it is tried again later"),
    }
}

async fn expire(engine: &Engine, retention: &Retention) {
    match engine.expire(retention, UnixMs::now()).await {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, "old entries were given up"),
        Err(code) => tracing::warn!(%code, "old entries could not be given up; it is tried again later"),
    }
}

/// Removes sub devices that have not been seen for so long, if that is set, and forgets removals that were done so long ago.
async fn keep_devices(engine: &Engine, unseen: Option<Duration>, kept: Duration, now: UnixMs) {
    if let Some(unseen) = unseen {
        let seen_before = UnixMs::new(now.get().saturating_sub(unseen.as_millis() as u64));
        match engine.remove_unseen(seen_before).await {
            Ok(0) => {}
            Ok(devices) => tracing::info!(devices, "sub devices that were not seen for long were removed"),
            Err(code) => tracing::warn!(%code, "unseen devices could not be removed; it is tried again later"),
        }
    }
    if let Err(code) = engine.purge_teardowns(kept, now).await {
        tracing::warn!(%code, "removals that are done could not be forgotten; it is tried again later");
    }
}

/// Makes the folder for this user only: it holds the key and everybody's messages.
fn make_folder(path: &Path) -> Result<(), StartError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StartError::Folder { path: path.to_owned(), source })
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server takes its port again although old connections still linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let local_addr = listener.local_addr()?;
    Ok((listener, local_addr))
}

pub(crate) fn without_delay(listener: TcpListener) -> impl Listener<Addr = SocketAddr> {
    listener.tap_io(|stream| {
        // Without this a frame may wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    })
}

fn engine_config(config: &Config) -> EngineConfig {
    let limits = &config.limits;
    EngineConfig {
        mailbox_max: limits.mailbox_max as u32,
        appends_waiting_max: limits.appends_waiting_max as usize,
        ring_bytes_max: limits.ring_bytes_max as usize,
        trace_records: config.trace.records as usize,
        connections_max: limits.connections_max as usize,
        conversations_per_user_max: limits.conversations_per_user_max as usize,
        link_ttl: config.links.ttl(),
        links_waiting: config.links.waiting(),
        receipts_period: Duration::from_millis(limits.receipts_gather_ms),
        receipts_members_max: limits.receipts_members_max,
        // Tail loss is found within one heartbeat (I4).
        bootstrap: config.bootstrap.bounds(Duration::from_millis(limits.ack_timeout_ms)),
        heads_period: EngineConfig::default().heads_period.min(Duration::from_millis(limits.heartbeat_ms)),
        ..EngineConfig::default()
    }
}

fn gateway_config(config: &Config) -> GatewayConfig {
    let limits = &config.limits;
    let mut gateway = GatewayConfig {
        sockets_max: limits.connections_max as usize,
        frame_bytes_max: limits.frame_bytes_max as usize,
        write_timeout: Duration::from_millis(limits.write_timeout_ms),
        request: body_limits(config),
        // The configuration's check has parsed both.
        origins: Origins::parse(&config.http.origins).unwrap_or_default(),
        trusted_proxies: TrustedProxies::parse(&config.http.trusted_proxies).unwrap_or_default(),
        requests: RequestRates {
            address: rate(limits.address_requests_per_second, limits.address_requests_burst),
            user: rate(limits.user_requests_per_second, limits.user_requests_burst),
            device: rate(limits.device_requests_per_second, limits.device_requests_burst),
        },
        service_sends: rate(limits.service_sends_per_second, limits.service_sends_burst),
        accounts: config.gateway_accounts(),
        links: config.links.gateway(),
        ..GatewayConfig::default()
    };
    let session = &mut gateway.session;
    session.heartbeat = Duration::from_millis(limits.heartbeat_ms);
    session.hello_timeout = Duration::from_millis(limits.hello_timeout_ms);
    session.ack_timeout = Duration::from_millis(limits.ack_timeout_ms);
    session.age_max = Duration::from_secs(limits.session_age_s);
    session.window_entries = limits.window_entries;
    session.window_bytes = limits.window_bytes as usize;
    session.shown_max = limits.conversations_per_user_max as usize + 1;
    session.sends_per_second = limits.sends_per_second as u32;
    session.sends_burst = limits.sends_burst as u32;
    session.signals_per_second = limits.signals_per_second as u32;
    session.signals_burst = limits.signals_burst as u32;
    session.frames_per_second = limits.frames_per_second as u32;
    session.frames_burst = limits.frames_burst as u32;
    gateway
}

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate { per_second: per_second as u32, burst: burst as u32 }
}

fn body_limits(config: &Config) -> BodyLimits {
    BodyLimits {
        bytes_max: config.limits.request_bytes_max as usize,
        timeout: Duration::from_millis(config.limits.request_timeout_ms),
    }
}

fn http_limits(config: &Config) -> HttpLimits {
    HttpLimits {
        connections_max: config.limits.http_connections_max as usize,
        header_timeout: Duration::from_millis(config.limits.header_timeout_ms),
        age_max: Duration::from_secs(config.limits.http_connection_age_s),
    }
}
