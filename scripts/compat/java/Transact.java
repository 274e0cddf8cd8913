import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's own producer with transactions, as a plan says; written alike for every client (see ../suite/transactions.py): c10,a5,o3
 * is a transaction of ten records that is committed, one of five that is aborted, and one of three that stays open until a line of
 * the input says c or a. If the input ends before, so does the program, at once.
 */
public final class Transact {
    private Transact() {}

    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < args.length; at += 2) {
            options.put(args[at], args[at + 1]);
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", options.get("--bootstrap"));
        properties.put("transactional.id", options.get("--transactional-id"));
        properties.put("transaction.timeout.ms", options.getOrDefault("--transaction-timeout", "60000"));
        int partitions = Integer.parseInt(options.get("--partitions"));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            int number = 0;
            for (String step : options.get("--plan").split(",")) {
                transaction(producer, options.get("--topic"), partitions, number, Integer.parseInt(step.substring(1)));
                String how = step.substring(0, 1);
                if (how.equals("o")) {
                    System.out.println("open " + number);
                    how = input.readLine();
                    if (how == null) {
                        Runtime.getRuntime().halt(0);
                    }
                }
                if (how.equals("c")) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
                System.out.println((how.equals("c") ? "committed " : "aborted ") + number);
                number++;
            }
        }
    }

    private static void transaction(KafkaProducer<String, String> producer, String topic, int partitions, int number, int count)
            throws Exception {
        producer.beginTransaction();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            sent.add(producer.send(new ProducerRecord<>(topic, at % partitions, null, number + ":" + at)));
        }
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
    }
}
