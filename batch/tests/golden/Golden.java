// Writes the batches of this folder with Kafka's own Java client, and reads batches with it.
//
//   java -cp 'kafka-clients.jar:snappy-java.jar:lz4-java.jar:zstd-jni.jar:slf4j-api.jar' Golden.java write DIR
//   java -cp … Golden.java read FILE...
//
// `read` prints one line a record, in the form the tests of this crate print theirs.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;

public class Golden {
    static final long T = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) write(Path.of(args[1]));
        else for (int i = 1; i < args.length; i++) read(Path.of(args[i]));
    }

    static void write(Path dir) throws Exception {
        for (CompressionType type : CompressionType.values()) {
            Compression codec = Compression.of(type.name).build();
            put(dir, "three-" + type.name, MemoryRecords.withRecords(codec, three()));
            if (type != CompressionType.NONE) put(dir, "many-" + type.name, MemoryRecords.withRecords(codec, many()));
        }
        put(dir, "idempotent", MemoryRecords.withIdempotentRecords(
            RecordBatch.MAGIC_VALUE_V2, 0L, Compression.NONE, 4711L, (short) 3, Integer.MAX_VALUE - 1, 7, three()));
        put(dir, "transactional", MemoryRecords.withTransactionalRecords(
            0L, Compression.NONE, 4711L, (short) 3, 0, 7, three()));
        put(dir, "commit", MemoryRecords.withEndTransactionMarker(
            42L, T, 5, 4711L, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 9)));
        put(dir, "abort", MemoryRecords.withEndTransactionMarker(
            42L, T, 5, 4711L, (short) 3, new EndTransactionMarker(ControlRecordType.ABORT, 9)));
        MemoryRecordsBuilder append = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2,
            Compression.NONE, TimestampType.LOG_APPEND_TIME, 100L, T + 77);
        for (SimpleRecord record : three()) append.append(record);
        put(dir, "append-time", append.build());
    }

    static SimpleRecord[] three() {
        return new SimpleRecord[] {
            new SimpleRecord(T, "key".getBytes(), "value".getBytes(), new Header[] {
                new RecordHeader("a", "1".getBytes()), new RecordHeader("b", (byte[]) null), new RecordHeader("", new byte[0])}),
            new SimpleRecord(T + 5, null, new byte[0]),
            new SimpleRecord(T - 1, "\u00e9".getBytes(StandardCharsets.UTF_8), null),
        };
    }

    static SimpleRecord[] many() {
        SimpleRecord[] records = new SimpleRecord[1200];
        for (int i = 0; i < records.length; i++) {
            String value = "record " + i + " " + "abc".repeat(i % 40);
            records[i] = new SimpleRecord(T + i, i % 3 == 0 ? null : ("k" + i).getBytes(), value.getBytes());
        }
        return records;
    }

    static void put(Path dir, String name, MemoryRecords records) throws Exception {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(dir.resolve(name + ".batch"), bytes);
    }

    static void read(Path file) throws Exception {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            System.out.printf("batch %d..%d count %d epoch %d %s %s producer %d/%d/%d..%d txn %b control %b times %d %d%n",
                batch.baseOffset(), batch.lastOffset(), batch.countOrNull(), batch.partitionLeaderEpoch(),
                batch.compressionType().name, batch.timestampType(), batch.producerId(), batch.producerEpoch(),
                batch.baseSequence(), batch.lastSequence(), batch.isTransactional(), batch.isControlBatch(),
                ((DefaultRecordBatch) batch).baseTimestamp(), batch.maxTimestamp());
            for (org.apache.kafka.common.record.Record record : batch) {
                StringBuilder line = new StringBuilder();
                line.append(record.offset()).append(' ').append(record.timestamp()).append(' ')
                    .append(hex(record.hasKey() ? record.key() : null)).append(' ')
                    .append(hex(record.hasValue() ? record.value() : null));
                for (Header header : record.headers()) {
                    line.append(' ').append(hex(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8)))).append('=')
                        .append(hex(header.value() == null ? null : ByteBuffer.wrap(header.value())));
                }
                System.out.println(line);
            }
        }
    }

    static String hex(ByteBuffer bytes) {
        if (bytes == null) return "-";
        StringBuilder out = new StringBuilder("x");
        ByteBuffer copy = bytes.duplicate();
        while (copy.hasRemaining()) out.append(String.format("%02x", copy.get()));
        return out.toString();
    }
}
