import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Kafka's own share consumer, which says what happens, one JSON object a line; written alike for every client (see ../suite/sharing.py,
 * which says how records are acknowledged). It leaves on SIGTERM. With `configure` it gives groups their settings, with `settings` it shows
 * them, with `offsets` it shows and sets where a group starts, which kafka-share-groups of 4.1 can't.
 */
public final class Share {
    private static volatile boolean stopping;
    private final Map<String, String> options;
    private final BlockingQueue<String> input = new LinkedBlockingQueue<>();
    private final Random random;

    private Share(Map<String, String> options) {
        this.options = options;
        this.random = new Random(Long.parseLong(options.getOrDefault("--seed", "0")));
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < args.length; at += 2) {
            options.put(args[at], args[at + 1]);
        }
        if (args[0].equals("configure")) {
            configure(options);
            return;
        }
        if (args[0].equals("settings")) {
            settings(options);
            return;
        }
        if (args[0].equals("offsets")) {
            offsets(options);
            return;
        }
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            try {
                main.join();
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        }));
        new Share(options).run();
    }

    private static void configure(Map<String, String> options) throws Exception {
        Map<ConfigResource, Collection<AlterConfigOp>> changes = new HashMap<>();
        for (String group : options.get("--groups").split(",")) {
            List<AlterConfigOp> settings = new ArrayList<>();
            for (String setting : options.get("--set").split(",")) {
                String[] parts = setting.split("=");
                settings.add(new AlterConfigOp(new ConfigEntry(parts[0], parts[1]), AlterConfigOp.OpType.SET));
            }
            changes.put(new ConfigResource(ConfigResource.Type.GROUP, group), settings);
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.get("--bootstrap")))) {
            admin.incrementalAlterConfigs(changes).all().get(30, TimeUnit.SECONDS);
        }
    }

    /** Says what was set of a group; kafka-configs wants to list all resources first, which not every broker can. */
    private static void settings(Map<String, String> options) throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, options.get("--group"));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.get("--bootstrap")))) {
            for (ConfigEntry one : admin.describeConfigs(List.of(group)).all().get(30, TimeUnit.SECONDS).get(group).entries()) {
                if (one.source() == ConfigEntry.ConfigSource.DYNAMIC_GROUP_CONFIG) {
                    System.out.println(one.name() + "=" + one.value());
                }
            }
        }
    }

    /** Says where a group starts in each partition of a topic, after it has set it where --set has PARTITION=OFFSET. */
    private static void offsets(Map<String, String> options) throws Exception {
        String group = options.get("--group");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.get("--bootstrap")))) {
            if (options.containsKey("--set")) {
                Map<TopicPartition, Long> wanted = new HashMap<>();
                for (String one : options.get("--set").split(",")) {
                    String[] parts = one.split("=");
                    wanted.put(new TopicPartition(options.get("--topic"), Integer.parseInt(parts[0])), Long.parseLong(parts[1]));
                }
                admin.alterShareGroupOffsets(group, wanted).all().get(30, TimeUnit.SECONDS);
            }
            admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetAndMetadata(group).get(30, TimeUnit.SECONDS)
                    .forEach((at, offset) -> System.out.println(at.topic() + " " + at.partition() + " " + (offset == null ? "-" : offset.offset())));
        }
    }

    private void run() throws Exception {
        String how = options.get("--ack");
        Properties properties = new Properties();
        properties.put("bootstrap.servers", options.get("--bootstrap"));
        properties.put("group.id", options.get("--group"));
        properties.put("share.acknowledgement.mode", how.equals("implicit") ? "implicit" : "explicit");
        properties.put("max.poll.records", options.getOrDefault("--max-poll", "500"));
        listen();
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            consumer.setAcknowledgementCommitCallback(this::acknowledged);
            consumer.subscribe(List.of(options.get("--topic")));
            say("startup_complete", "");
            while (!stopping) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (!records.isEmpty()) {
                    process(consumer, records, how);
                }
            }
        }
        say("shutdown_complete", "");
    }

    private void process(KafkaShareConsumer<String, String> consumer, ConsumerRecords<String, String> records, String how) throws Exception {
        List<AcknowledgeType> chosen = new ArrayList<>();
        for (ConsumerRecord<String, String> record : records) {
            AcknowledgeType type = choose(record, how);
            chosen.add(type);
            say("record_data", ",\"topic\":\"" + record.topic() + "\",\"partition\":" + record.partition() + ",\"offset\":" + record.offset()
                    + ",\"delivery\":" + record.deliveryCount().orElse((short) 0) + ",\"value\":\"" + record.value() + "\",\"ack\":\""
                    + (type == null ? how : type.toString()) + "\"");
        }
        if (how.equals("implicit")) {
            Thread.sleep(random.nextInt(1 + pause()));
            return;
        }
        AcknowledgeType told = how.equals("ask") ? ask() : null;
        if (how.equals("ask") && told == null) {
            return;
        }
        Thread.sleep(random.nextInt(1 + pause()));
        int at = 0;
        for (ConsumerRecord<String, String> record : records) {
            AcknowledgeType type = chosen.get(at++);
            consumer.acknowledge(record, told == null ? type : told);
        }
        String commit = options.getOrDefault("--commit", "poll");
        if (commit.equals("sync")) {
            consumer.commitSync();
        } else if (commit.equals("async")) {
            consumer.commitAsync();
        }
    }

    private int pause() {
        return Integer.parseInt(options.getOrDefault("--pause-ms", "0"));
    }

    private AcknowledgeType choose(ConsumerRecord<String, String> record, String how) {
        if (how.equals("random")) {
            int dice = random.nextInt(100);
            return dice < 85 ? AcknowledgeType.ACCEPT : dice < 95 ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT;
        }
        if (!how.equals("value")) {
            return null;
        }
        String word = record.value().split(" ")[0];
        if (word.equals("retry")) {
            return record.deliveryCount().orElse((short) 0) == 1 ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
        }
        return AcknowledgeType.valueOf(word.toUpperCase());
    }

    /** What the next line of the input says; null when it is to end first. */
    private AcknowledgeType ask() throws InterruptedException {
        say("asking", "");
        while (!stopping) {
            String line = input.poll(100, TimeUnit.MILLISECONDS);
            if (line != null) {
                return AcknowledgeType.valueOf(line.toUpperCase());
            }
        }
        return null;
    }

    private void listen() {
        Thread thread = new Thread(() -> new BufferedReader(new InputStreamReader(System.in)).lines().forEach(input::add), "input");
        thread.setDaemon(true);
        thread.start();
    }

    private void acknowledged(Map<TopicIdPartition, Set<Long>> offsets, Exception error) {
        List<String> partitions = new ArrayList<>();
        offsets.forEach((at, of) -> partitions.add("{\"partition\":" + at.partition() + ",\"offsets\":" + of + "}"));
        String failed = error == null ? "null" : "\"" + error.getClass().getSimpleName() + "\"";
        say("acknowledged", ",\"partitions\":[" + String.join(",", partitions) + "],\"error\":" + failed);
    }

    /** The machine's monotonic clock, in seconds. */
    private static void say(String name, String rest) {
        System.out.println("{\"name\":\"" + name + "\",\"at\":" + System.nanoTime() / 1e9 + rest + "}");
    }
}
