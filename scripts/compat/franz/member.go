package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A member of a consumer group, which says what happens to it in the form of Kafka's VerifiableConsumer: one JSON object
// a line (see ../suite/members.py). It commits what it has read after every poll, and leaves on SIGTERM.

type place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset,omitempty"`
}

type event struct {
	Name       string  `json:"name"`
	At         float64 `json:"at"` // seconds of the machine's monotonic clock, which is one for all its processes
	Partitions []place `json:"partitions,omitempty"`
	Offsets    []place `json:"offsets,omitempty"`
	Success    *bool   `json:"success,omitempty"`
	Error      string  `json:"error,omitempty"`
	Member     string  `json:"member,omitempty"`
	Generation int32   `json:"generation,omitempty"`
	Topic      string  `json:"topic,omitempty"`
	Partition  int32   `json:"partition"`
	Offset     int64   `json:"offset"`
	Value      string  `json:"value,omitempty"`
}

// voice keeps lines of several goroutines whole.
type voice struct {
	lock sync.Mutex
	to   *json.Encoder
}

// monotonic is the time of the machine's monotonic clock in seconds.
func monotonic() float64 {
	var now syscall.Timespec
	// CLOCK_MONOTONIC; Go's own reading of it can't be told to others.
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return float64(now.Sec) + float64(now.Nsec)/1e9
}

func (v *voice) say(e event) {
	e.At = monotonic()
	v.tell(e)
}

func (v *voice) tell(what any) {
	v.lock.Lock()
	defer v.lock.Unlock()
	if err := v.to.Encode(what); err != nil {
		os.Exit(3) // whoever started it is gone
	}
}

func places(of map[string][]int32) []place {
	all := []place{}
	for topic, partitions := range of {
		for _, partition := range partitions {
			all = append(all, place{Topic: topic, Partition: partition})
		}
	}
	return all
}

func balancer(name string) (kgo.GroupBalancer, error) {
	switch name {
	case "range":
		return kgo.RangeBalancer(), nil
	case "roundrobin":
		return kgo.RoundRobinBalancer(), nil
	case "sticky", "uniform":
		return kgo.StickyBalancer(), nil
	case "cooperative-sticky":
		return kgo.CooperativeStickyBalancer(), nil
	}
	return nil, fmt.Errorf("unknown assignor %q", name)
}

type membership struct {
	bootstrap, group, topics, protocol, assignor, instance string
	session                                                time.Duration
	regex, quiet                                           bool
}

func (m *membership) flags(set *flag.FlagSet) {
	set.StringVar(&m.bootstrap, "bootstrap", "", "brokers to start from")
	set.StringVar(&m.group, "group", "", "group")
	set.StringVar(&m.topics, "topic", "", "topics, with commas")
	set.StringVar(&m.protocol, "protocol", "classic", "classic or consumer")
	set.StringVar(&m.assignor, "assignor", "", "range, roundrobin, sticky, cooperative-sticky; of the consumer protocol range or uniform")
	set.StringVar(&m.instance, "instance", "", "group.instance.id")
	set.DurationVar(&m.session, "session-timeout", 0, "of the classic protocol")
	set.BoolVar(&m.regex, "regex", false, "the topics are regular expressions")
	set.BoolVar(&m.quiet, "quiet", false, "say nothing of single records' values")
}

func (m *membership) options(says *voice) ([]kgo.Opt, error) {
	told := func(name string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, client *kgo.Client, of map[string][]int32) {
			member, generation := client.GroupMetadata()
			says.say(event{Name: name, Partitions: places(of), Member: member, Generation: generation})
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(m.bootstrap, ",")...),
		kgo.ConsumerGroup(m.group),
		kgo.ConsumeTopics(strings.Split(m.topics, ",")...),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(told("partitions_assigned")),
		kgo.OnPartitionsRevoked(told("partitions_revoked")),
		kgo.OnPartitionsLost(told("partitions_lost")),
	}
	if m.protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
		if m.assignor == "" {
			m.assignor = "uniform"
		}
	}
	if m.assignor != "" {
		chosen, err := balancer(m.assignor)
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.Balancers(chosen))
	}
	if m.instance != "" {
		options = append(options, kgo.InstanceID(m.instance))
	}
	if m.session != 0 {
		options = append(options, kgo.SessionTimeout(m.session))
	}
	if m.regex {
		options = append(options, kgo.ConsumeRegex())
	}
	return options, nil
}

func member(args []string) error {
	var m membership
	set := flag.NewFlagSet("member", flag.ExitOnError)
	m.flags(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	says := &voice{to: json.NewEncoder(os.Stdout)}
	options, err := m.options(says)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	says.say(event{Name: "startup_complete"})
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) {
				says.say(event{Name: "error", Topic: topic, Partition: partition, Error: err.Error()})
			}
		})
		read(client, says, fetches, m.quiet)
	}
	client.Close()
	says.say(event{Name: "shutdown_complete"})
	return nil
}

// read tells of the records and commits them.
func read(client *kgo.Client, says *voice, fetches kgo.Fetches, quiet bool) {
	ends := map[place]int64{}
	fetches.EachRecord(func(r *kgo.Record) {
		e := event{Name: "record_data", Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Value: string(r.Value)}
		if quiet {
			e.Value = ""
		}
		says.say(e)
		ends[place{Topic: r.Topic, Partition: r.Partition}] = r.Offset + 1
	})
	if len(ends) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := client.CommitUncommittedOffsets(ctx)
	done := event{Name: "offsets_committed", Success: new(bool)}
	*done.Success = err == nil
	if err != nil {
		done.Error = err.Error()
	}
	for at, end := range ends {
		done.Offsets = append(done.Offsets, place{at.Topic, at.Partition, &end})
	}
	says.say(done)
}
