"""Writes deploy/grafana/slackwater.json from the table of panels below, so that nobody edits coordinates: `draw_dashboard.py`."""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "deploy" / "grafana" / "slackwater.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What every query is narrowed to.
ON = 'instance=~"$instance"'
OF = ON + ',deployment=~"$deployment"'
WIDTH, HEIGHT, ACROSS = 8, 8, 3

# A row: its title, and its panels. A panel: title, unit, what it says, and queries with their legends.
Panel = tuple[str, str, str, list[tuple[str, str]]]


def quantiles(name: str, by: str = "", labels: str = ON, legend: str = "") -> list[tuple[str, str]]:
    """Median and 99th percentile of a histogram."""
    return [
        (
            f"histogram_quantile({share}, sum by (le{by}) (rate({name}_bucket{{{labels}}}[$__rate_interval])))",
            f"p{share * 100:g}{legend}",
        )
        for share in (0.5, 0.99)
    ]


def most(name: str, by: str, labels: str = ON) -> str:
    """A gauge that is the same for all servers that share a ledger: that of one of them, which may be another one in a while."""
    return f"max by ({by}) ({name}{{{labels}}})"


def rate(name: str, by: str, labels: str = ON) -> str:
    """How fast a counter grows."""
    return f"sum by ({by}) (rate({name}{{{labels}}}[$__rate_interval]))"


ROWS: tuple[tuple[str, list[Panel]], ...] = (
    (
        "Batches",
        [
            (
                "Batches that have not ended",
                "short",
                "By status.",
                [
                    (
                        most(
                            "slackwater_batches",
                            "status",
                            ON + ',status=~"validating|in_progress|finalizing|cancelling"',
                        ),
                        "{{status}}",
                    )
                ],
            ),
            (
                "Batches that ended, per hour",
                "short",
                "By their last status.",
                [
                    (
                        f"sum by (status) (increase(slackwater_batch_duration_seconds_count{{{ON}}}[1h]))",
                        "{{status}}",
                    )
                ],
            ),
            (
                "Oldest batch without a result",
                "s",
                "How long the oldest batch of each deployment has waited for its first result.",
                [(most("slackwater_batch_queue_age_seconds", "deployment", OF), "{{deployment}}")],
            ),
            (
                "Time to first result",
                "s",
                "From create until the first result is durable.",
                quantiles("slackwater_batch_time_to_first_result_seconds"),
            ),
            (
                "Duration of batches",
                "s",
                "From create to the end, of those that completed.",
                quantiles("slackwater_batch_duration_seconds", labels=ON + ',status="completed"'),
            ),
            (
                "Late",
                "short",
                "Batches past their completion window, and those that ended so within a day.",
                [
                    (most("slackwater_batches_overdue", "deployment", OF), "overdue {{deployment}}"),
                    (f"sum(increase(slackwater_batch_deadline_missed_total{{{ON}}}[1d]))", "missed in a day"),
                ],
            ),
            ("Validation", "s", "One input file.", quantiles("slackwater_validation_seconds")),
        ],
    ),
    (
        "Requests",
        [
            (
                "Requests that ended",
                "reqps",
                "By what became of them, as far as it is durable.",
                [(rate("slackwater_batch_requests_total", "outcome", OF), "{{outcome}}")],
            ),
            (
                "Share that failed",
                "percentunit",
                "Of the requests that were answered, at the server where it is largest.",
                [(most("deployment:slackwater_requests_failed:ratio15m", "deployment", OF), "{{deployment}}")],
            ),
            (
                "Tokens",
                "short",
                "Per second, as backends report them.",
                [
                    (rate("slackwater_tokens_total", "direction", OF), "{{direction}}"),
                    (rate("slackwater_backend_slice_tokens_total", "backend", OF), "{{backend}}, slices beside them"),
                ],
            ),
        ],
    ),
    (
        "Backends",
        [
            (
                "In flight, and what may be",
                "short",
                "Calls that are out; the window is 0 while a backend is left alone.",
                [
                    (f"sum by (backend) (slackwater_backend_in_flight{{{OF}}})", "{{backend}}"),
                    (f"sum by (backend) (slackwater_backend_window{{{OF}}})", "window {{backend}}"),
                ],
            ),
            (
                "Calls by how they ended",
                "reqps",
                "Over all backends.",
                [(rate("slackwater_backend_attempts_total", "outcome", OF), "{{outcome}}")],
            ),
            (
                "Time of a call",
                "s",
                "Per backend.",
                quantiles("slackwater_backend_request_duration_seconds", ", backend", OF, " {{backend}}"),
            ),
            (
                "Sent again",
                "reqps",
                "Calls whose request had to be sent again.",
                [
                    (rate("slackwater_requests_resent_total", "backend", OF), "{{backend}}"),
                    (rate("slackwater_backend_probes_total", "backend", OF), "{{backend}}, requests of our own"),
                    (rate("slackwater_backend_slices_total", "backend", OF), "{{backend}}, slices of long prompts"),
                ],
            ),
            (
                "Left alone",
                "short",
                "1 while the breaker of a backend is open.",
                [(f"max by (backend) (slackwater_backend_breaker_open{{{OF}}})", "{{backend}}")],
            ),
            (
                "Backends that are not ok",
                "short",
                "By state: refusing and blocked want somebody; busy and down end by themselves.",
                [
                    (
                        most("slackwater_backend_state", "backend, state", OF + ',state!="ok"') + " > 0",
                        "{{backend}} {{state}}",
                    )
                ],
            ),
            (
                "Engines: in flight, and slots",
                "short",
                "Over all deployments.",
                [
                    (f"sum by (engine) (slackwater_engine_in_flight{{{ON}}})", "{{engine}}"),
                    (most("slackwater_engine_slots", "engine"), "slots {{engine}}"),
                ],
            ),
            (
                "Engines that are paced: window, and others",
                "short",
                "How many requests of ours may be out, and how many of others run or wait.",
                [
                    (f"sum by (engine) (slackwater_engine_window{{{ON}}})", "window {{engine}}"),
                    (most("slackwater_engine_others", "engine"), "others {{engine}}"),
                    (most("slackwater_engine_waiting", "engine"), "waiting there {{engine}}"),
                    (most("slackwater_engine_frozen", "engine") + " > 0", "nothing new is sent to {{engine}}"),
                ],
            ),
            (
                "Engines that are paced: a step",
                "s",
                "What everybody waits for a token: now, without us, and up to which requests are sent.",
                [(most("slackwater_engine_step_seconds", "kind, engine"), "{{kind}} {{engine}}")],
            ),
            (
                "Engines that are paced: online users' slow steps, times those without us",
                "short",
                "Over about the last hour of them: as it was, and as the pace allows. Absent while nobody else is there.",
                [(most("slackwater_engine_online_ratio", "kind, engine"), "{{kind}} {{engine}}")],
            ),
            (
                "Engines that are not ok",
                "short",
                "By state.",
                [
                    (
                        most("slackwater_engine_state", "engine, state", ON + ',state!="ok"') + " > 0",
                        "{{engine}} {{state}}",
                    )
                ],
            ),
            (
                "Batches that wait for a backend",
                "s",
                "For how long no backend of their deployment has been open.",
                [(most("slackwater_deployment_waiting_seconds", "deployment", OF), "{{deployment}}")],
            ),
            (
                "Paused by operators",
                "short",
                "Engines, deployments and batches, and the age of the oldest pause in hours.",
                [
                    (most("slackwater_operator_pauses", "what"), "{{what}}"),
                    (most("slackwater_operator_pause_oldest_seconds", "what") + " / 3600", "{{what}}, oldest, hours"),
                ],
            ),
            (
                "Share of calls without a usable answer",
                "percentunit",
                "Busy is not one of them. At the server where it is largest.",
                [(most("backend:slackwater_attempts_failed:ratio15m", "backend", OF), "{{backend}}")],
            ),
        ],
    ),
    (
        "Quota",
        [
            (
                "Enqueued tokens",
                "short",
                "Held by batches, and the limit where there is one.",
                [
                    (most("slackwater_enqueued_tokens", "deployment", OF), "{{deployment}}"),
                    (most("slackwater_enqueued_tokens_limit", "deployment", OF), "limit {{deployment}}"),
                ],
            ),
            (
                "Share of the limit",
                "percentunit",
                "Of deployments with a limit.",
                [
                    (
                        most("slackwater_enqueued_tokens", "deployment", OF)
                        + " / "
                        + most("slackwater_enqueued_tokens_limit", "deployment", OF),
                        "{{deployment}}",
                    )
                ],
            ),
        ],
    ),
    (
        "Journal",
        [
            ("Commit", "s", "Until a group of results is durable.", quantiles("slackwater_journal_commit_seconds")),
            (
                "Results made durable",
                "Bps",
                "Bytes per second.",
                [(rate("slackwater_journal_bytes_total", "instance"), "{{instance}}")],
            ),
            (
                "Room on the disk",
                "bytes",
                "Where the data directory is.",
                [(f"slackwater_data_free_bytes{{{ON}}}", "{{instance}}")],
            ),
            (
                "Gone because they are kept for some time only",
                "short",
                "Batches, results and inputs a second.",
                [(rate("slackwater_retention_removed_total", "kept"), "{{kept}}")],
            ),
            (
                "Memory held by requests and answers",
                "bytes",
                "Requests that are out, open shards, answers on their way in, results not durable yet; and the budget for them.",
                [
                    (f"slackwater_memory_held_bytes{{{ON}}}", "{{instance}} held"),
                    (f"slackwater_memory_held_most_bytes{{{ON}}}", "{{instance}} most"),
                    (f"slackwater_memory_budget_bytes{{{ON}}}", "{{instance}} budget"),
                ],
            ),
            (
                "Large answers that wait for room",
                "short",
                "They are not read on until others are durable.",
                [(f"slackwater_memory_waiting_answers{{{ON}}}", "{{instance}}")],
            ),
        ],
    ),
    (
        "Webhooks",
        [
            (
                "Tries",
                "short",
                "Per second, by how they went.",
                [(rate("slackwater_webhook_deliveries_total", "outcome"), "{{outcome}}")],
            ),
            ("Waiting", "short", "Deliveries to come.", [(most("slackwater_webhook_pending", "job"), "{{job}}")]),
            (
                "Oldest that waits",
                "s",
                "Its age.",
                [(most("slackwater_webhook_oldest_pending_seconds", "job"), "{{job}}")],
            ),
        ],
    ),
    (
        "API and process",
        [
            (
                "Calls",
                "reqps",
                "By operation.",
                [(rate("slackwater_http_requests_total", "operation"), "{{operation}}")],
            ),
            (
                "Calls by class of status",
                "reqps",
                "5xx is ours, 4xx the caller's.",
                [(rate("slackwater_http_requests_total", "code"), "{{code}}")],
            ),
            (
                "Time to the answer",
                "s",
                "The slowest operations, 99 of 100 calls.",
                [
                    (
                        "topk(8, histogram_quantile(0.99, sum by (le, operation) "
                        f"(rate(slackwater_http_request_duration_seconds_bucket{{{ON}}}[$__rate_interval]))))",
                        "{{operation}}",
                    )
                ],
            ),
            (
                "Connections",
                "short",
                "Of the front door, by what they are about.",
                [(f"sum by (phase) (slackwater_http_connections{{{ON}}})", "{{phase}}")],
            ),
            (
                "Turned away",
                "short",
                "Connections per hour that the front door refused or ended by itself, and calls with a wrong key.",
                [
                    (f"sum by (reason) (increase(slackwater_http_turned_away_total{{{ON}}}[1h]))", "{{reason}}"),
                    (f"sum (increase(slackwater_http_keys_refused_total{{{ON}}}[1h]))", "wrong keys"),
                ],
            ),
            (
                "Stages that go wrong",
                "short",
                "Steps per hour that are tried again.",
                [
                    (
                        f"sum by (stage, reason) (increase(slackwater_stage_failures_total{{{ON}}}[1h]))",
                        "{{stage}} {{reason}}",
                    )
                ],
            ),
            ("Event loop", "s", "How late it is.", quantiles("slackwater_event_loop_lag_seconds")),
            (
                "CPU and memory",
                "short",
                "Cores, and resident GiB.",
                [
                    (f'rate(process_cpu_seconds_total{{{ON},job=~"$job"}}[$__rate_interval])', "cores {{instance}}"),
                    (f'process_resident_memory_bytes{{{ON},job=~"$job"}} / 2^30', "GiB {{instance}}"),
                ],
            ),
            (
                "Events",
                "short",
                "The ten most frequent ones, per second.",
                [(f"topk(10, {rate('slackwater_events_total', 'event')})", "{{event}}")],
            ),
            (
                "What is running",
                "short",
                "Processes by their version, and 0 where the page is without what the ledger knows.",
                [
                    (f"count by (version, python) (slackwater_build_info{{{ON}}})", "{{version}}, Python {{python}}"),
                    (f"slackwater_ledger_read{{{ON}}}", "ledger read {{instance}}"),
                ],
            ),
            (
                "Servers and workers",
                "short",
                "Who shares the ledger; the seconds since the one that has been silent longest has said that it lives; and for "
                "how many the ledger's database has been away.",
                [
                    (f"slackwater_ledger_unavailable_seconds{{{ON}}}", "database away, {{instance}}"),
                    (most("slackwater_members", "kind"), "{{kind}}"),
                    (most("slackwater_member_lag_seconds", "job"), "silent, seconds"),
                ],
            ),
        ],
    ),
)


def variable(name: str, query: str, label: str) -> dict[str, Any]:
    """A choice above the dashboard, of what there is."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def panels() -> list[dict[str, Any]]:
    """Rows with their panels, three beside each other."""
    drawn: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        drawn.append({"type": "row", "id": len(drawn) + 1, "title": title, "gridPos": place, "panels": []})
        top += 1
        for number, (name, unit, says, queries) in enumerate(row):
            place = {"h": HEIGHT, "w": WIDTH, "x": number % ACROSS * WIDTH, "y": top + number // ACROSS * HEIGHT}
            drawn.append(
                {
                    "type": "timeseries",
                    "id": len(drawn) + 1,
                    "title": name,
                    "description": says,
                    "datasource": SOURCE,
                    "gridPos": place,
                    "fieldConfig": {
                        "defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
                        "overrides": [],
                    },
                    "options": {
                        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                        "tooltip": {"mode": "multi", "sort": "desc"},
                    },
                    "targets": [
                        {"datasource": SOURCE, "expr": query, "legendFormat": legend, "refId": chr(ord("A") + index)}
                        for index, (query, legend) in enumerate(queries)
                    ],
                }
            )
        top += -(-len(row) // ACROSS) * HEIGHT
    return drawn


def page() -> str:
    """The whole dashboard."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
    dashboard = {
        "uid": "slackwater",
        "title": "Slackwater",
        "tags": ["slackwater"],
        "editable": True,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                source,
                variable("job", "label_values(slackwater_build_info, job)", "Job"),
                variable("instance", 'label_values(slackwater_build_info{job=~"$job"}, instance)', "Instance"),
                variable(
                    "deployment",
                    'label_values(slackwater_enqueued_tokens{instance=~"$instance"}, deployment)',
                    "Deployment",
                ),
            ]
        },
        "panels": panels(),
    }
    return json.dumps(dashboard, indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
