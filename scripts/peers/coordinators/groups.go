package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = time.Minute

func group(number int) string { return fmt.Sprintf("load-%d", number) }

// Tries again what a coordinator that has just begun can't answer yet.
func again(one func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if err := one(); !kerr.IsRetriable(err) || time.Now().After(end) {
			return err
		}
	}
}

func commit(ctx context.Context, one *kgo.Client, s settings, number int, offset int64) error {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group = group(number)
	request.Generation = -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = s.topic
	for at := range s.partitions {
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition = int32(at)
		partition.Offset = offset
		topic.Partitions = append(topic.Partitions, partition)
	}
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, one)
	if err != nil {
		return err
	}
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// Each client commits an offset of every partition for one group after the other.
func commits(ctx context.Context, s settings) {
	clients := make([]*kgo.Client, s.clients)
	for at := range clients {
		clients[at] = client(s)
		defer clients[at].Close()
	}
	repeat("commits", s.clients, s, func(place, turn int) error {
		return again(func() error {
			return commit(ctx, clients[place], s, (place+turn*s.clients)%s.groups, int64(turn))
		})
	})
}

// Commits an offset of every partition for every group, once.
func fill(ctx context.Context, s settings) {
	one := client(s)
	defer one.Close()
	begun := time.Now()
	took := make([][]time.Duration, 1)
	for number := range s.groups {
		at := time.Now()
		fail(again(func() error { return commit(ctx, one, s, number, int64(number)) }))
		took[0] = append(took[0], time.Since(at))
	}
	report("fill", took, time.Since(begun).Seconds())
}

// Reads all that `fill` committed, as soon as that is possible; what isn't there is an error.
func fetch(ctx context.Context, s settings) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	one := client(s, kgo.RetryTimeout(patience))
	defer one.Close()
	begun := time.Now()
	took := make([][]time.Duration, 1)
	for number := range s.groups {
		request := kmsg.NewPtrOffsetFetchRequest()
		wanted := kmsg.NewOffsetFetchRequestGroup()
		wanted.Group = group(number)
		request.Groups = append(request.Groups, wanted)
		at := time.Now()
		var answer *kmsg.OffsetFetchResponse
		fail(again(func() (err error) {
			if answer, err = request.RequestWith(ctx, one); err != nil {
				return err
			}
			return kerr.ErrorForCode(answer.Groups[0].ErrorCode)
		}))
		found := 0
		for _, one := range answer.Groups {
			for _, topic := range one.Topics {
				for _, partition := range topic.Partitions {
					if partition.Offset == int64(number) {
						found++
					}
				}
			}
		}
		if found != s.partitions {
			fail(fmt.Errorf("%s has %d offsets of %d", group(number), found, s.partitions))
		}
		took[0] = append(took[0], time.Since(at))
	}
	report("fetch", took, time.Since(begun).Seconds())
}

// All members of one group of KIP-848's protocol join, and then send heartbeats as fast as they are answered.
func members(ctx context.Context, s settings) {
	clients := make([]*kgo.Client, s.clients)
	for at := range clients {
		clients[at] = client(s)
		defer clients[at].Close()
	}
	epochs := make([]int32, s.members)
	beat := func(one *kgo.Client, member int) error {
		request := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		request.Group = "members"
		request.MemberID = fmt.Sprintf("member-%d", member)
		request.MemberEpoch = epochs[member]
		if epochs[member] == 0 {
			request.RebalanceTimeoutMillis = 300_000
			request.SubscribedTopicNames = []string{s.topic}
			request.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		} else {
			request.RebalanceTimeoutMillis = -1
		}
		answer, err := request.RequestWith(ctx, one)
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return err
		}
		epochs[member] = answer.MemberEpoch
		return nil
	}
	begun := time.Now()
	each := s.members / s.clients
	joined := make([][]time.Duration, 1)
	for member := range each * s.clients {
		at := time.Now()
		fail(again(func() error { return beat(clients[member%s.clients], member) }))
		joined[0] = append(joined[0], time.Since(at))
	}
	report("members join", joined, time.Since(begun).Seconds())
	repeat("heartbeats", s.clients, s, func(place, turn int) error {
		return beat(clients[place], place+turn%each*s.clients)
	})
}
