package suyuan;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.AttributesBuilder;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.TraceStateBuilder;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * Sends the scenario with the OpenTelemetry SDK for Java and prints the id of each span.
 *
 * <p>In: the scenario's path and a trace id as arguments; OTEL_EXPORTER_OTLP_PROTOCOL and
 * OTEL_EXPORTER_OTLP_ENDPOINT. Out: {"span name": "span id"} on stdout.
 */
public final class Send {
  public static void main(String[] arguments) throws Exception {
    JsonObject scenario =
        JsonParser.parseString(Files.readString(Path.of(arguments[0]))).getAsJsonObject();
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(Resource.create(attributes(scenario.getAsJsonObject("resource"))))
            .addSpanProcessor(BatchSpanProcessor.builder(exporter()).build())
            .build();
    JsonObject scope = scenario.getAsJsonObject("scope");
    Tracer tracer =
        provider.tracerBuilder(text(scope, "name")).setInstrumentationVersion(text(scope, "version")).build();

    Context root = remoteParent(scenario.getAsJsonObject("remote_parent"), arguments[1]);
    Map<String, Span> spans = new LinkedHashMap<>();
    List<JsonObject> recipes = new ArrayList<>();
    scenario.getAsJsonArray("spans").forEach(recipe -> recipes.add(recipe.getAsJsonObject()));
    for (JsonObject recipe : recipes) {
      JsonElement parent = recipe.get("parent");
      Context context = parent.isJsonNull() ? root : root.with(spans.get(parent.getAsString()));
      spans.put(text(recipe, "name"), startSpan(tracer, recipe, context));
    }
    for (int at = recipes.size() - 1; at >= 0; at--) {
      JsonObject recipe = recipes.get(at);
      spans.get(text(recipe, "name")).end(nanoseconds(recipe, "end"), TimeUnit.NANOSECONDS);
    }
    boolean sent = provider.forceFlush().join(30, TimeUnit.SECONDS).isSuccess();
    provider.shutdown().join(30, TimeUnit.SECONDS);
    Map<String, String> ids = new LinkedHashMap<>();
    spans.forEach((name, span) -> ids.put(name, span.getSpanContext().getSpanId()));
    System.out.println(new Gson().toJson(ids));
    System.exit(sent ? 0 : 1);
  }

  /** The program has no autoconfiguration, so it reads the two variables itself. */
  private static SpanExporter exporter() {
    String endpoint = System.getenv("OTEL_EXPORTER_OTLP_ENDPOINT");
    String compression = System.getenv().getOrDefault("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    if (System.getenv("OTEL_EXPORTER_OTLP_PROTOCOL").equals("grpc")) {
      return OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).build();
    }
    return OtlpHttpSpanExporter.builder()
        .setEndpoint(endpoint + "/v1/traces")
        .setCompression(compression)
        .build();
  }

  private static Context remoteParent(JsonObject parent, String traceId) {
    TraceStateBuilder state = TraceState.builder();
    String[] members = text(parent, "trace_state").split(",");
    // Each put goes to the front.
    for (int at = members.length - 1; at >= 0; at--) {
      String[] pair = members[at].split("=", 2);
      state.put(pair[0], pair[1]);
    }
    SpanContext context =
        SpanContext.createFromRemoteParent(
            traceId, text(parent, "span_id"), TraceFlags.getSampled(), state.build());
    return Context.root().with(Span.wrap(context));
  }

  private static Span startSpan(Tracer tracer, JsonObject recipe, Context parent) {
    SpanBuilder builder =
        tracer
            .spanBuilder(text(recipe, "name"))
            .setParent(parent)
            .setSpanKind(SpanKind.valueOf(text(recipe, "kind")))
            .setStartTimestamp(nanoseconds(recipe, "start"), TimeUnit.NANOSECONDS)
            .setAllAttributes(attributes(recipe.getAsJsonObject("attributes")));
    for (JsonElement element : recipe.getAsJsonArray("links")) {
      JsonObject link = element.getAsJsonObject();
      SpanContext linked =
          SpanContext.createFromRemoteParent(
              text(link, "trace_id"),
              text(link, "span_id"),
              TraceFlags.getSampled(),
              TraceState.getDefault());
      builder.addLink(linked, attributes(link.getAsJsonObject("attributes")));
    }
    Span span = builder.startSpan();
    for (JsonElement element : recipe.getAsJsonArray("events")) {
      JsonObject event = element.getAsJsonObject();
      span.addEvent(
          text(event, "name"),
          attributes(event.getAsJsonObject("attributes")),
          nanoseconds(event, "time"),
          TimeUnit.NANOSECONDS);
    }
    JsonObject status = recipe.getAsJsonObject("status");
    if (!text(status, "code").equals("UNSET")) {
      span.setStatus(StatusCode.valueOf(text(status, "code")), text(status, "message"));
    }
    return span;
  }

  private static Attributes attributes(JsonObject pairs) {
    AttributesBuilder out = Attributes.builder();
    for (Map.Entry<String, JsonElement> entry : pairs.entrySet()) {
      JsonArray pair = entry.getValue().getAsJsonArray();
      put(out, entry.getKey(), pair.get(0).getAsString(), pair.get(1));
    }
    return out.build();
  }

  private static void put(AttributesBuilder out, String key, String type, JsonElement value) {
    switch (type) {
      case "string" -> out.put(key, value.getAsString());
      case "int" -> out.put(key, value.getAsLong());
      case "double" -> out.put(key, value.getAsDouble());
      case "bool" -> out.put(key, value.getAsBoolean());
      case "string[]" -> out.put(AttributeKey.stringArrayKey(key), list(value, JsonElement::getAsString));
      case "int[]" -> out.put(AttributeKey.longArrayKey(key), list(value, JsonElement::getAsLong));
      case "double[]" -> out.put(AttributeKey.doubleArrayKey(key), list(value, JsonElement::getAsDouble));
      case "bool[]" -> out.put(AttributeKey.booleanArrayKey(key), list(value, JsonElement::getAsBoolean));
      default -> throw new IllegalArgumentException("unknown type " + type);
    }
  }

  private static <T> List<T> list(JsonElement value, Function<JsonElement, T> read) {
    List<T> out = new ArrayList<>();
    value.getAsJsonArray().forEach(item -> out.add(read.apply(item)));
    return out;
  }

  private static String text(JsonObject object, String name) {
    return object.get(name).getAsString();
  }

  private static long nanoseconds(JsonObject object, String name) {
    return Long.parseLong(text(object, name));
  }
}
