// Sends the scenario with the OpenTelemetry SDK for Node and prints the id of each span.
//
// In: the scenario's path and a trace id as arguments; OTEL_EXPORTER_OTLP_PROTOCOL and
// OTEL_EXPORTER_OTLP_ENDPOINT as any SDK reads them. Out: {"span name": "span id"} on stdout.

import { readFileSync } from 'node:fs';
import { context, SpanKind, SpanStatusCode, trace, TraceFlags } from '@opentelemetry/api';
import { createTraceState } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

const EXPORTERS = {
  grpc: GrpcExporter,
  'http/json': JsonExporter,
  'http/protobuf': ProtobufExporter,
};

/** Fails the program if the exporter reports anything but success. */
function strict(exporter) {
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.error) {
          console.error(result.error);
          process.exitCode = 1;
        }
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

const valuesOf = (attributes) =>
  Object.fromEntries(Object.entries(attributes).map(([key, [, value]]) => [key, value]));

/** Nanoseconds as the SDK's pair of seconds and nanoseconds. */
function timeOf(nanoseconds) {
  const time = BigInt(nanoseconds);
  return [Number(time / 1_000_000_000n), Number(time % 1_000_000_000n)];
}

function remoteParent(scenario, traceId) {
  return trace.setSpanContext(context.active(), {
    traceId,
    spanId: scenario.remote_parent.span_id,
    traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState(scenario.remote_parent.trace_state),
    isRemote: true,
  });
}

function linkOf(link) {
  return {
    context: { traceId: link.trace_id, spanId: link.span_id, traceFlags: TraceFlags.SAMPLED },
    attributes: valuesOf(link.attributes),
  };
}

function startSpan(tracer, recipe, parent) {
  const span = tracer.startSpan(
    recipe.name,
    {
      kind: SpanKind[recipe.kind],
      startTime: timeOf(recipe.start),
      attributes: valuesOf(recipe.attributes),
      links: recipe.links.map(linkOf),
    },
    parent,
  );
  for (const event of recipe.events) {
    span.addEvent(event.name, valuesOf(event.attributes), timeOf(event.time));
  }
  if (recipe.status.code !== 'UNSET') {
    const message = recipe.status.message || undefined;
    span.setStatus({ code: SpanStatusCode[recipe.status.code], message });
  }
  return span;
}

const [scenarioPath, traceId] = process.argv.slice(2);
const scenario = JSON.parse(readFileSync(scenarioPath, 'utf8'));
const Exporter = EXPORTERS[process.env.OTEL_EXPORTER_OTLP_PROTOCOL];
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes(valuesOf(scenario.resource)),
  spanProcessors: [new BatchSpanProcessor(strict(new Exporter()))],
});
const tracer = provider.getTracer(scenario.scope.name, scenario.scope.version);

const root = remoteParent(scenario, traceId);
const spans = new Map();
for (const recipe of scenario.spans) {
  const parent = recipe.parent ? trace.setSpan(root, spans.get(recipe.parent)) : root;
  spans.set(recipe.name, startSpan(tracer, recipe, parent));
}
for (const recipe of [...scenario.spans].reverse()) {
  spans.get(recipe.name).end(timeOf(recipe.end));
}
await provider.forceFlush();
await provider.shutdown();
const ids = [...spans].map(([name, span]) => [name, span.spanContext().spanId]);
console.log(JSON.stringify(Object.fromEntries(ids)));
