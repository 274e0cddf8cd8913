// Command franz is franz-go behind a command line: it produces what it reads and prints what it consumes,
// so that the compatibility run can compare bytes. The client is franz-go as published, with its defaults
// but for what a flag says.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const usage = `usage: franz produce --bootstrap HOST:PORT --topic T [--partition N|-1] [--codec C] [--acks 0|1|all] [--json]
       franz consume --bootstrap HOST:PORT --topic T --partition N --count N [--offset N] [--read-committed] [--json]
       franz failover-produce --bootstrap HOST:PORT,... --topic T --partitions N --rate N
       franz failover-consume --bootstrap HOST:PORT,... --topics T,... --partitions N
       franz share --bootstrap HOST:PORT --group G --topic T --ack implicit|value|ask|random [--max-poll N] [--pause-ms N] [--seed N]
       franz member --bootstrap HOST:PORT --group G --topic T [--protocol classic|consumer] [--assignor A] [--instance I]
       franz transact --bootstrap HOST:PORT --topic T --partitions N --transactional-id I --plan PLAN
       franz ledger --bootstrap HOST:PORT --topic T --partitions N --transactional-id I
       franz copy --bootstrap HOST:PORT --input T --output T --group G --transactional-id I
`

// target is what both commands are told: where, and in which form records are read or printed.
type target struct {
	bootstrap string
	topic     string
	partition int
	json      bool
	timeout   time.Duration
}

func (t *target) flags(set *flag.FlagSet) {
	set.StringVar(&t.bootstrap, "bootstrap", "127.0.0.1:9092", "brokers to start from, with commas")
	set.StringVar(&t.topic, "topic", "", "topic")
	set.IntVar(&t.partition, "partition", 0, "partition; producing, -1 picks one by the key")
	set.BoolVar(&t.json, "json", false, "one JSON object a record in place of one line")
	set.DurationVar(&t.timeout, "timeout", 150*time.Second, "give up after this long")
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func([]string) error{
		"produce":          produceCommand,
		"consume":          consumeCommand,
		"failover-produce": failoverProduce,
		"failover-consume": failoverConsume,
		"member":           member,
		"share":            share,
		"transact":         transact,
		"ledger":           ledger,
		"copy":             copier,
	}
	command, known := commands[os.Args[1]]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := command(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "franz:", err)
		os.Exit(1)
	}
}

func produceCommand(args []string) error {
	var to target
	set := flag.NewFlagSet("produce", flag.ExitOnError)
	to.flags(set)
	codec := set.String("codec", "none", "none, gzip, snappy, lz4 or zstd")
	acks := set.String("acks", "all", "0, 1 or all; all is idempotent")
	if err := set.Parse(args); err != nil {
		return err
	}
	options, err := producerOptions(&to, *codec, *acks)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), to.timeout)
	defer cancel()
	return produce(ctx, client, &to, os.Stdin)
}

func consumeCommand(args []string) error {
	var from target
	set := flag.NewFlagSet("consume", flag.ExitOnError)
	from.flags(set)
	offset := set.Int64("offset", 0, "first offset")
	count := set.Int("count", 0, "records to read; fewer is an error")
	committed := set.Bool("read-committed", false, "isolation level read_committed")
	if err := set.Parse(args); err != nil {
		return err
	}
	at := kgo.NewOffset().At(*offset)
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(from.bootstrap, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{from.topic: {int32(from.partition): at}}),
		// Without this an offset out of range is quietly answered with a reset to the earliest.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	}
	if *committed {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), from.timeout)
	defer cancel()
	return consume(ctx, client, &from, *count, os.Stdout)
}
