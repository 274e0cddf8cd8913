import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's own producer and consumer while brokers come and go, with their defaults; written alike for every client (see
 * ../suite/failover.py). The producer counts from 0 in each partition and prints what is acknowledged; the consumer prints
 * what it reads until it has been told where to end. Both go on until their input ends.
 */
public final class Failover {
    private Failover() {}

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < args.length; at += 2) {
            options.put(args[at], args[at + 1]);
        }
        int partitions = Integer.parseInt(options.get("--partitions"));
        if (args[0].equals("failover-produce")) {
            produce(options.get("--bootstrap"), options.get("--topic"), partitions, Integer.parseInt(options.get("--rate")));
        } else {
            consume(options.get("--bootstrap"), options.get("--topics").split(","), partitions);
        }
    }

    /** Reads all input beside; the thread ends with it. */
    private static Thread input(Consumer<String> lines) {
        Thread thread = new Thread(() -> new BufferedReader(new InputStreamReader(System.in)).lines().forEach(lines), "input");
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void produce(String bootstrap, String topic, int partitions, int rate) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        AtomicReference<Exception> failed = new AtomicReference<>();
        Thread input = input(line -> {});
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            long began = System.nanoTime();
            for (long sent = 0; input.isAlive() && failed.get() == null; sent++) {
                int partition = (int) (sent % partitions);
                long sequence = sent / partitions;
                producer.send(new ProducerRecord<>(topic, partition, null, Long.toString(sequence)), (metadata, error) -> {
                    if (error != null) {
                        failed.compareAndSet(null, new RuntimeException("partition " + partition + ", record " + sequence, error));
                    } else {
                        System.out.println(partition + " " + sequence + " " + metadata.offset());
                    }
                });
                long due = began + (sent + 1) * 1_000_000_000L / rate;
                Thread.sleep(Math.max(0, (due - System.nanoTime()) / 1_000_000));
            }
            producer.flush();
        }
        if (failed.get() != null) {
            throw failed.get();
        }
    }

    private static void consume(String bootstrap, String[] topics, int partitions) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        Map<TopicPartition, Long> ends = new HashMap<>();
        Thread input = input(line -> {
            String[] words = line.split(" ");
            ends.put(new TopicPartition(words[0], Integer.parseInt(words[1])), Long.parseLong(words[2]));
        });
        PrintStream out = new PrintStream(System.out, false);
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (String topic : topics) {
                for (int partition = 0; partition < partitions; partition++) {
                    all.add(new TopicPartition(topic, partition));
                }
            }
            consumer.assign(all);
            all.forEach(partition -> consumer.seek(partition, 0));
            while (input.isAlive() || ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(300))) {
                    out.println(record.topic() + " " + record.partition() + " " + record.offset() + " " + record.value());
                }
                out.flush();
            }
        }
    }
}
