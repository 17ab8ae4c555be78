"""Sends the scenario with the OpenTelemetry SDK for Python and prints the id of each span.

In: the scenario's path and a trace id as arguments; OTEL_EXPORTER_OTLP_PROTOCOL and
OTEL_EXPORTER_OTLP_ENDPOINT as any SDK reads them. Out: {"span name": "span id"} on stdout.
"""

import json
import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace import TraceFlags, TraceState

SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Strict(SpanExporter):
    """Remembers whether the exporter reported anything but success."""

    def __init__(self, exporter):
        self.exporter = exporter
        self.failures = 0

    def export(self, spans):
        result = self.exporter.export(spans)
        self.failures += result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self):
        self.exporter.shutdown()

    def force_flush(self, timeout_millis=30_000):
        return self.exporter.force_flush(timeout_millis)


def exporter_from_environment():
    if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return Strict(OTLPSpanExporter())


def values(attributes):
    return {key: value for key, (_type, value) in attributes.items()}


def remote_parent(scenario, trace_id):
    parent = scenario["remote_parent"]
    members = [member.split("=", 1) for member in parent["trace_state"].split(",")]
    context = SpanContext(
        int(trace_id, 16), int(parent["span_id"], 16), True, SAMPLED, TraceState(members)
    )
    return trace.set_span_in_context(NonRecordingSpan(context))


def link(recipe):
    context = SpanContext(int(recipe["trace_id"], 16), int(recipe["span_id"], 16), True, SAMPLED)
    return Link(context, values(recipe["attributes"]))


def start_span(tracer, recipe, parent):
    span = tracer.start_span(
        recipe["name"],
        context=parent,
        kind=SpanKind[recipe["kind"]],
        attributes=values(recipe["attributes"]),
        links=[link(other) for other in recipe["links"]],
        start_time=int(recipe["start"]),
    )
    for event in recipe["events"]:
        span.add_event(event["name"], values(event["attributes"]), int(event["time"]))
    status = recipe["status"]
    if status["code"] != "UNSET":
        span.set_status(Status(StatusCode[status["code"]], status["message"] or None))
    return span


def main():
    scenario_path, trace_id = sys.argv[1:]
    with open(scenario_path, encoding="utf-8") as file:
        scenario = json.load(file)
    exporter = exporter_from_environment()
    provider = TracerProvider(resource=Resource.create(values(scenario["resource"])))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer(scenario["scope"]["name"], scenario["scope"]["version"])

    root = remote_parent(scenario, trace_id)
    spans = {}
    for recipe in scenario["spans"]:
        name = recipe["parent"]
        parent = trace.set_span_in_context(spans[name]) if name else root
        spans[recipe["name"]] = start_span(tracer, recipe, parent)
    for recipe in reversed(scenario["spans"]):
        spans[recipe["name"]].end(int(recipe["end"]))
    provider.force_flush()
    provider.shutdown()
    ids = {name: f"{span.get_span_context().span_id:016x}" for name, span in spans.items()}
    print(json.dumps(ids))
    sys.exit(1 if exporter.failures else 0)


if __name__ == "__main__":
    main()
