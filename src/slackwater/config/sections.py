"""What an operator can choose: one struct per section, a sentence per field."""

import msgspec
from msgspec import Struct

from slackwater.config.billing import BillingConfig, PriceConfig
from slackwater.config.content_filters import ContentFilterConfig
from slackwater.config.front_door import FrontDoorConfig
from slackwater.config.monitoring import MetricsConfig, TracingConfig
from slackwater.config.oidc import OidcConfig
from slackwater.config.studio import StudioConfig
from slackwater.config.user_storages import StorageConfig
from slackwater.core.accounts.connection import Secret
from slackwater.core.endpoints import REQUIRED_KEY, USUAL
from slackwater.core.files.lost import KEPT_DAYS as LOST_KEPT_DAYS
from slackwater.core.quota.tiers import QuotaTier
from slackwater.core.sending.deployment import WhenFull
from slackwater.core.sending.forms import AUTO
from slackwater.core.sending.pace import PACED_CONCURRENCY
from slackwater.core.sending.sku import GLOBAL_BATCH


class ServerConfig(Struct, frozen=True, kw_only=True):
    """`[server]`: where the service listens and keeps its data."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs at least one API key."""
    port: int = 8080
    """TCP port; 0 takes a free one and says which."""
    data: str = "slackwater-data"
    """Directory for the ledger and the files; made when it is missing, used by one server, or by all that share a database."""
    database: str = ""
    """Where the ledger is, such as `postgresql://slackwater@db.internal/slackwater?sslmode=verify-full&sslrootcert=system`;
    empty: a file in the data directory. Files stay where they are. Needs `pip install '.[postgresql]'` in a checkout.
    `slackwater migrate-data` moves a ledger there and back. See postgresql.md."""
    database_password_env: str = ""
    """Environment variable that holds the password of its role. Empty: none is needed, or the address or `~/.pgpass` has it."""
    files: str = ""
    """Where files and results are, such as `s3://bucket/prefix`, `az://account/container/prefix` or `gs://bucket/prefix`;
    empty: in the data directory. Needs `pip install '.[stores]'` in a checkout.
    `slackwater migrate-data` moves files there and back. See object-stores.md."""
    files_endpoint: str = ""
    """Address of a store that only speaks like S3 or Azure, such as `https://minio.internal:9000`; empty: the cloud's own."""
    files_region: str = ""
    """Region of an S3 bucket, such as `eu-west-1`. Empty: what `AWS_REGION` says, or `us-east-1`."""
    files_key_env: str = ""
    """Environment variable that holds the key: `KEY_ID:SECRET` for S3, an account key or a SAS token for Azure, the JSON of a
    service account for Google. Empty: the variables that each cloud's own programs read, or the identity of the machine."""
    api_key_envs: list[str] = msgspec.field(default_factory=list)
    """Names of environment variables that hold the accepted API keys. None: every key is accepted, on loopback only."""
    secrets_key_env: str = ""
    """Environment variable with the key under which keys of engines are sealed that people store over the API or in Studio: 32
    bytes in base64, such as `openssl rand -base64 32` prints. Several, newest first, while one is changed. See deployments.md."""
    secrets_key_file: str = ""
    """File that holds it instead; a relative one lies beside this configuration. With neither, no key is stored."""
    lenient_api_version: bool = False
    """Accept any `api-version` that looks like a date, also ones that Azure never had."""
    cors_origins: list[str] = msgspec.field(default_factory=list)
    """Sites whose pages may call the API from a browser (CORS), such as `https://app.example`, with a key or a token that they
    send. See security.md."""
    gzip_downloads: bool = True
    """Send the content of files in gzip to clients that say they take it, as most do: a third of the bytes on the way, at the
    cost of a processor, so that it is slower inside a fast network. Two downloads at once; others get the bytes as they are."""
    free_bytes_min: int = 256 << 20
    """With less than this free on the disk of the data, `/readyz` says that the service is not ready; 0: nobody looks."""
    lost_keep_days: int = LOST_KEPT_DAYS
    """How many days bytes that the ledger does not name lie in `lost` in the data directory before they go; 1 at least."""
    peers: str = ""
    """Directory in this host's memory in which servers that use the same engines find each other (see pacing.md). By default
    one of this user's; servers of several users, or in several containers, have to be given the same."""
    region: str = ""
    """Where files and the ledger are, as the header `x-ms-region` says it, such as `Sweden Central`."""


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """`[limits]`: what users may send. The defaults are Azure's."""

    upload_bytes: int = 200 << 20
    """Largest upload in bytes: in one piece, or in parts with the purpose `batch`. 0 is no limit."""
    upload_parts_bytes: int = 8 << 30
    """Largest upload in parts with any other purpose, in bytes; 0 is no limit."""
    lasting_files: int = 500
    """Most uploaded files that live until they are deleted; 0 is no limit. Results of batches do not count."""
    expiring_files: int = 10_000
    """Most uploaded files that have an expiry; 0 is no limit."""
    input_blob_bytes: int = 1 << 30
    """Largest input in a storage of the user's own (`[[storage]]`), in bytes; 0 is no limit."""
    requests_per_file: int = 100_000
    """Most requests in one input file; 0 is no limit."""
    embedding_inputs: int = 50_000
    """Most texts that one input file may ask embeddings for, over all its requests; 0 is no limit."""
    validation_errors: int = 100
    """How many faults of one input file are listed with their line numbers."""


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """`[worker]`: how results are made durable and how work ends."""

    commit_seconds: float = 0.2
    """How long a result may wait for its fsync: what a crash costs at most, besides the calls in flight."""
    grace_seconds: float = 20.0
    """How long a stop waits for calls in flight."""
    in_flight_bytes: int = 32 << 20
    """Bodies of requests in flight per deployment; bounds memory when lines are large."""
    answer_bytes: int = 64 << 20
    """Largest answer of a backend. A request with a larger one fails after one call. Chats are far below; a large batch of
    embeddings has some 30 MiB."""
    memory_bytes: int = 128 << 20
    """Bodies of requests that are out, open shards, answers on their way in and results that are not durable yet, over all
    deployments. When so much is in memory, large answers are read one at a time; with less than twice `answer_bytes`, they
    always are."""


class ImportsConfig(Struct, frozen=True, kw_only=True):
    """`[imports]`: files that are fetched from a URL which a user names, instead of being uploaded."""

    enabled: bool = False
    """Whether this service fetches at all. Needs `hosts`."""
    hosts: list[str] = msgspec.field(default_factory=list)
    """Where files may come from: names such as `store.example.com`, `*.blob.core.windows.net` or `store.local:9000`."""
    allow_http: bool = False
    """Also fetch over plain http, where others can read along."""
    allow_private_addresses: bool = False
    """Also fetch from private and loopback addresses, for a store inside the house. Metadata addresses stay refused."""
    bytes_max: int = 0
    """Largest file in bytes; 0 is the same as for uploads."""
    timeout_seconds: float = 600.0
    """Time for the whole download."""
    connect_seconds: float = 10.0
    """Time to open a connection, the resolution of the name included."""


class WebhooksConfig(Struct, frozen=True, kw_only=True):
    """`[webhooks]`: endpoints of users that hear how their batches ended."""

    enabled: bool = True
    """Whether users may have endpoints, and anything is sent to them."""
    allow_http: bool = False
    """Also send over plain http, where others can read along."""
    allow_private_addresses: bool = False
    """Also send to private and loopback addresses, for receivers inside the house. Metadata addresses stay refused."""
    timeout_seconds: float = 10.0
    """Time for one delivery, from the resolution of the name to the status that is answered."""


class AuditConfig(Struct, frozen=True, kw_only=True):
    """`[audit]`: the log of who did what. See usage.md."""

    keep_days: int = 400
    """How many days an entry is kept; what is older goes by itself. 0 keeps everything, and the log grows for ever."""


class RetentionConfig(Struct, frozen=True, kw_only=True):
    """`[retention]`: for how long things are kept. A new or shorter rule begins with seven days of notice. See operating.md."""

    batches_days: int = 0
    """Days for which a batch is kept after its end; 0 is for ever. Usage and the audit log have it for longer."""
    results_days: int | None = None
    """Days for which output and error files are kept; 0 is for ever. By default as long as batches."""
    inputs_days: int = 0
    """Days for which input files are kept, and as long as a batch reads them; 0 is for ever."""


class EchoConfig(Struct, frozen=True, kw_only=True):
    """`echo = { ... }` of a backend: the built-in backend instead of a URL, for demos, tests and load."""

    latency_seconds: float = 0.0
    """How long each answer takes."""
    jitter_seconds: float = 0.0
    """Up to so much longer, drawn per call."""
    error_rate: float = 0.0
    """Share of calls answered with status 500, from 0 to 1."""
    busy_rate: float = 0.0
    """Share of calls answered with status 429, from 0 to 1."""
    hang_rate: float = 0.0
    """Share of calls that never answer, from 0 to 1."""
    refusal_rate: float = 0.0
    """Share of requests that are answered with 400, from 0 to 1, however often they are sent."""


# Enough to keep one engine on one GPU busy, and few enough for its queue to stay short. `slackwater run` has it, too.
CONCURRENCY = 64


class BackendConfig(Struct, frozen=True, kw_only=True):
    """`[[deployments.backends]]`: one server that answers for a deployment."""

    url: str | None = None
    """Base URL up to where `/chat/completions` follows, such as `http://127.0.0.1:8000/v1`."""
    echo: EchoConfig | None = None
    """The built-in backend, instead of a URL."""
    model: str | None = None
    """The model name that this server knows; by default what the user wrote into `model`."""
    api_key_env: str | None = None
    """Environment variable that holds this server's API key."""
    api_key_file: str | None = None
    """File that holds it instead; a relative one lies beside this configuration. A new key is taken without a restart."""
    api_key_header: str | None = None
    """`authorization` (as a bearer token) or `api-key`; by default `api-key` for Azure hosts."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """More headers for every request. Not for secrets."""
    ca_file: str | None = None
    """File with certificates (PEM) that are trusted besides the system's, for a server with one of the house; a relative one
    lies beside this configuration."""
    concurrency: int | None = None
    """Requests in flight at once; the most of them where the engine is paced. By default what `[[engines]]` says for the server,
    else what another backend there says, else 64, and 256 where it is paced. Of several numbers for one server without such a
    section, the smallest holds for all of its backends together."""
    connect_seconds: float = 10.0
    """Time to open a connection."""
    first_byte_seconds: float = 600.0
    """Time to the first byte of the answer; long, because an engine answers when all tokens are there. Of one that is \
streamed, also the time to each next part."""
    total_seconds: float = 1800.0
    """Time for the whole answer."""
    attempts: int = 5
    """Calls that one request may use up before its failure is written down. Waiting for a busy server is not counted."""
    stream: str = "auto"
    """`never`: none of its answers is asked for as a stream. `auto`: some may be, to see how busy an engine is that online \
traffic shares; results are the same."""
    paths: dict[str, str] = msgspec.field(default_factory=dict)
    """Endpoints that this server has elsewhere than under its URL, with their paths from its root: `paths = { rerank = \
"/v2/rerank" }`."""
    forms: str = AUTO
    """How edits of images and videos are asked for: `json`, as lines have them; `form`, as multipart, where data URLs become \
files; `auto`: `json` at OpenAI and Azure, `form` elsewhere."""
    video_seconds: float = 7200.0
    """Time for a video to be made. One that takes longer ends with `backend_timeout`, and is not made again."""
    requests_per_minute: int | None = None
    """Rate limit of the account behind the key; only where the server does not say it in its answers, or to stay below it."""
    tokens_per_minute: int | None = None
    """The same in tokens, prompts and all that may be generated counted."""
    tokens_per_day: int | None = None
    """The same for a day."""
    shared_quota: bool = True
    """Whether anybody else uses the same quota. They go first: what they are likely to need is left to them."""
    region: str = ""
    """Where it stands, such as `swedencentral`; recorded on the batches that it answers for."""
    data_zone: str = ""
    """The data zone that this is in, such as `eu`; `DataZoneBatch` deployments use no backend outside of theirs."""

    @property
    def slots(self) -> int:
        """Requests in flight at once, at an engine that is not paced."""
        return CONCURRENCY if self.concurrency is None else self.concurrency

    @property
    def most(self) -> int:
        """The most of them at one that is."""
        return PACED_CONCURRENCY if self.concurrency is None else self.concurrency

    @property
    def key_name(self) -> str | None:
        """Under which name its key is kept; None where it has none."""
        return self.api_key_env if self.api_key_file is None else f"file:{self.api_key_file}"


class ConnectedBackend(BackendConfig, frozen=True, kw_only=True):
    """A backend of a deployment that was made over the API, by way of a connection that an administrator has added."""

    connection: str
    key: Secret | None = None
    """Where its key is stored with the connection."""
    listed: bool = False
    """Whether its host is one that the operator has listed, wherever that leads."""


class EngineConfig(Struct, frozen=True, kw_only=True):
    """`[[engines]]`: how one server is used, over all deployments whose backends have this scheme, host and port."""

    url: str
    """Where it is, such as `http://127.0.0.1:8000`; a path is read over."""
    concurrency: int | None = None
    """Requests in flight at once, of all its backends together, and of each that names no number of its own; one that does has
    that many at most. By default it is the smallest that a backend says. See deployments.md."""
    pace: str | None = None
    """How much of it batches may take beside others: `gentle`, `strict`, `full`, `fixed`, or the time between two tokens that
    others may see, such as `50ms`. By default `gentle` where its metrics page is found, else `fixed`. See pacing.md."""
    slices: str = "auto"
    """`never`: long prompts go whole. `auto`: while others use an engine that keeps prefixes in a cache, they go in slices."""


ENCODINGS = ("o200k_base", "cl100k_base")
ENDPOINTS = tuple(name.removeprefix("/") for name in REQUIRED_KEY)
USUAL_ENDPOINTS = tuple(name.removeprefix("/") for name in USUAL)


class DeploymentConfig(Struct, frozen=True, kw_only=True):
    """`[[deployments]]`: a name that users put into `model`."""

    name: str
    """What the user writes into `model`."""
    resource: str = "default"
    """The resource that it belongs to."""
    model: str = ""
    """The model behind it, for people to read; by default the deployment's name."""
    version: str = ""
    """The model's version, for people to read."""
    sku: str = GLOBAL_BATCH
    """Azure's kind of deployment, or `sku = { name, capacity }`. Batches run on `GlobalBatch` and `DataZoneBatch` only."""
    data_zone: str = ""
    """For `DataZoneBatch`: where its requests may go."""
    backends: list[BackendConfig] = msgspec.field(default_factory=list)
    """Servers that answer; each takes as much as it can."""
    enqueued_token_limit: int | None = None
    """Most enqueued tokens over all batches that have not ended."""
    capacity: int | None = None
    """The same in thousands, as Azure counts it."""
    quota_tier: QuotaTier | None = None
    """Azure's figure for the model in this class of subscription: `enterprise`, `default`, `monthly`, `msdn`, `student`, \
`free`, `tier1` to `tier6`; what counts where there is none is in deployments.md. Of the three, the first that is set counts."""
    dynamic_quota: bool = False
    """Let in more than the limit while the backends are measured to finish all of it inside its window."""
    when_full: WhenFull = WhenFull.FAIL
    """What becomes of a batch beyond that: `fail` refuses it, at once where its size can be told, else when it is validated; \
`queue` lets it wait for its turn."""
    endpoints: list[str] = msgspec.field(default_factory=lambda: list(USUAL_ENDPOINTS))
    """What it offers: batches for other endpoints are refused at validation. `/v1/embeddings` is the same as `embeddings`. Where
    its models or engines have them, also `images/generations`, `images/edits`, `videos`, `messages`, `rerank`, `score` and
    `audio/speech`."""
    images: bool = True
    """False for a text-only model: lines with images are refused at validation."""
    tokenizer: str = "o200k_base"
    """Encoding that enqueued tokens are counted with: `o200k_base` or `cl100k_base`."""
    stream: str = "auto"
    """`never`: the same for all of its backends."""
    rai_policy_name: str | None = None
    """The `[[content_filters]]` section that its prompts and completions go through; none: nothing is looked at."""
    version_upgrade_option: str | None = None
    """Kept and shown, as Azure does; models here change when their backends do."""


class ResourceConfig(Struct, frozen=True, kw_only=True):
    """`[[resources]]`: a tenant with files, batches, deployments and keys of its own. `default` is there without a section."""

    name: str
    """Letters, digits and dashes."""
    hosts: list[str] = msgspec.field(default_factory=list)
    """Host names that stand for this resource, such as `research.batch.example`; its keys work there and nowhere else."""
    region: str = ""
    """Its home region, for the header `x-ms-region`; by default that of the server."""
    weight: float = 1.0
    """Its share of an engine that others use at the same time: with 2 it gets twice as many tokens as one with 1."""
    keep_batches_days: int | None = None
    """Days for which its ended batches are kept, where that is not `[retention] batches_days`."""
    keep_results_days: int | None = None
    """Days for which its output and error files are kept, where that is not `[retention] results_days`."""
    keep_inputs_days: int | None = None
    """Days for which its input files are kept, where that is not `[retention] inputs_days`."""


class ControlPlaneConfig(Struct, frozen=True, kw_only=True):
    """`[control_plane]`: what deployments may be that administrators of resources make over the API. See deployments.md."""

    backend_hosts: list[str] = msgspec.field(default_factory=list)
    """Where backends of theirs may be, such as `engine.local:8000`. None: they use those of configured deployments."""
    backend_key_envs: list[str] = msgspec.field(default_factory=list)
    """Environment variables with keys that such backends may be sent."""
    connect_anywhere: bool = True
    """Whether whoever runs the service may add engines at any address (not at link-local and metadata ones); everybody else, and
    with `false` they, too, only at `backend_hosts`. See deployments.md."""
    capacity_max: int = 0
    """Most capacity of one deployment, in thousands of enqueued tokens; 0 is no limit."""


class Config(Struct, frozen=True, kw_only=True):
    """Everything, checked."""

    server: ServerConfig = ServerConfig()
    front_door: FrontDoorConfig = FrontDoorConfig()
    limits: LimitsConfig = LimitsConfig()
    worker: WorkerConfig = WorkerConfig()
    imports: ImportsConfig = ImportsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    audit: AuditConfig = AuditConfig()
    retention: RetentionConfig = RetentionConfig()
    metrics: MetricsConfig = MetricsConfig()
    tracing: TracingConfig = TracingConfig()
    control_plane: ControlPlaneConfig = ControlPlaneConfig()
    oidc: OidcConfig = OidcConfig()
    studio: StudioConfig = StudioConfig()
    billing: BillingConfig = BillingConfig()
    prices: tuple[PriceConfig, ...] = ()
    deployments: tuple[DeploymentConfig, ...] = ()
    engines: tuple[EngineConfig, ...] = ()
    resources: tuple[ResourceConfig, ...] = ()
    storage: tuple[StorageConfig, ...] = ()
    content_filters: tuple[ContentFilterConfig, ...] = ()
    collector: str = ""
    """Where spans go, after a look at the environment; empty: nothing is traced."""
    api_keys: tuple[str, ...] = ()
    backend_keys: dict[str, str] = msgspec.field(default_factory=dict)
    """Values of the environment variables that backends and classifiers name."""
    database: str = ""
    """The address of the ledger, with its password; empty: a file in the data directory."""
    files_secret: str = ""
    """The key to the object store; empty: it is found elsewhere."""
    storage_secrets: dict[str, str] = msgspec.field(default_factory=dict)
    """Keys to storages of users, by the variables that name them."""
    secrets_keys: tuple[bytes, ...] = ()
    """Keys that secrets are sealed under, newest first; none: nothing is stored."""
    studio_secret: str | None = None
    """That of the application that people sign in with."""


DEMO_DEPLOYMENT = DeploymentConfig(
    name="demo-batch", model="echo", endpoints=list(ENDPOINTS), backends=[BackendConfig(echo=EchoConfig())]
)
