package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The programs with transactions are written alike for several clients (see ../suite/transactions.py).

func transactional(bootstrap, topic, id string, timeout time.Duration) (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.DefaultProduceTopic(topic),
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(timeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
}

// inTransaction begins one, produces values to the partitions in turn and waits for them.
func inTransaction(ctx context.Context, client *kgo.Client, partitions int, values []string) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for at, value := range values {
		records = append(records, &kgo.Record{Partition: int32(at % partitions), Value: []byte(value)})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// transact does what a plan says: c10,a5,o3 is a transaction of ten records that is committed, one of five that is aborted, and
// one of three that stays open until a line of the input says `c` or `a`; if the input ends before, so does the program, at once.
func transact(args []string) error {
	set := flag.NewFlagSet("transact", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	topic := set.String("topic", "", "topic")
	partitions := set.Int("partitions", 1, "of the topic")
	id := set.String("transactional-id", "", "transactional.id")
	plan := set.String("plan", "", "such as c10,a5,o3")
	timeout := set.Int("transaction-timeout", 60000, "milliseconds")
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := transactional(*bootstrap, *topic, *id, time.Duration(*timeout)*time.Millisecond)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
	defer cancel()
	input := bufio.NewScanner(os.Stdin)
	for number, step := range strings.Split(*plan, ",") {
		count, err := strconv.Atoi(step[1:])
		if err != nil {
			return err
		}
		var values []string
		for at := range count {
			values = append(values, fmt.Sprintf("%d:%d", number, at))
		}
		if err := inTransaction(ctx, client, *partitions, values); err != nil {
			return err
		}
		how := step[:1]
		if how == "o" {
			fmt.Println("open", number)
			if !input.Scan() {
				os.Exit(0)
			}
			how = input.Text()
		}
		if err := client.EndTransaction(ctx, kgo.TransactionEndTry(how == "c")); err != nil {
			return err
		}
		fmt.Println(map[bool]string{true: "committed", false: "aborted"}[how == "c"], number)
	}
	return nil
}

// ledger writes transactions of up to 20 records over all partitions, one after the other, each record as
// WRITER:TRANSACTION:INDEX:COUNT, aborts every seventh or so, and says what became of each. It ends on SIGTERM.
func ledger(args []string) error {
	set := flag.NewFlagSet("ledger", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	topic := set.String("topic", "", "topic")
	partitions := set.Int("partitions", 1, "of the topic")
	id := set.String("transactional-id", "", "transactional.id, and the writer's name")
	first := set.Int("first", 0, "number of the first transaction")
	pause := set.Duration("pause", 0, "between transactions")
	if err := set.Parse(args); err != nil {
		return err
	}
	client, err := transactional(*bootstrap, *topic, *id, time.Minute)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for number := *first; ctx.Err() == nil; number++ {
		count := 1 + rand.Intn(20)
		var values []string
		for at := range count {
			values = append(values, fmt.Sprintf("%s:%d:%d:%d", *id, number, at, count))
		}
		commit := rand.Intn(7) != 0
		fmt.Println("begun", number)
		if err := inTransaction(context.Background(), client, *partitions, values); err != nil {
			return err
		}
		if err := client.EndTransaction(context.Background(), kgo.TransactionEndTry(commit)); err != nil {
			return err
		}
		fmt.Println(map[bool]string{true: "committed", false: "aborted"}[commit], number)
		time.Sleep(*pause)
	}
	return nil
}

// copier consumes as a member of a group and produces what it reads to the partition of the same number, in transactions with the
// offsets; aborts some of them if told so. It ends on SIGTERM.
func copier(args []string) error {
	set := flag.NewFlagSet("copy", flag.ExitOnError)
	bootstrap := set.String("bootstrap", "", "brokers to start from")
	input := set.String("input", "", "topic")
	output := set.String("output", "", "topic")
	group := set.String("group", "", "group")
	id := set.String("transactional-id", "", "transactional.id")
	size := set.Int("transaction-size", 50, "records in a transaction, at most")
	protocol := set.String("protocol", "classic", "classic or consumer")
	aborts := set.Bool("random-aborts", false, "abort every fifth or so")
	if err := set.Parse(args); err != nil {
		return err
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.DefaultProduceTopic(*output),
		kgo.TransactionalID(*id),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*input),
		kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(10 * time.Second),
	}
	if *protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	session, err := kgo.NewGroupTransactSession(options...)
	if err != nil {
		return err
	}
	defer session.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for {
		fetches := session.PollRecords(ctx, *size)
		if ctx.Err() != nil {
			return nil
		}
		if err := copyOnce(session, fetches, *aborts && rand.Intn(5) == 0); err != nil {
			return err
		}
	}
}

func copyOnce(session *kgo.GroupTransactSession, fetches kgo.Fetches, abort bool) error {
	var records []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) {
		records = append(records, &kgo.Record{Partition: r.Partition, Key: r.Key, Value: r.Value})
	})
	if len(records) == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return err
	}
	failed := session.ProduceSync(context.Background(), records...).FirstErr()
	committed, err := session.End(context.Background(), kgo.TransactionEndTry(failed == nil && !abort))
	if err != nil {
		return fmt.Errorf("ending: %w (producing: %v)", err, failed)
	}
	fmt.Println(map[bool]string{true: "committed", false: "aborted"}[committed], len(records))
	return nil
}
