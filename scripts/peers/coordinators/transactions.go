package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Each client writes a transaction of some records of 100 bytes, commits it, and begins the next one.
func transactions(ctx context.Context, s settings) {
	clients := make([]*kgo.Client, s.clients)
	for at := range clients {
		clients[at] = client(s, kgo.TransactionalID(fmt.Sprintf("load-%d", at)), kgo.DefaultProduceTopic(s.topic), kgo.ProducerLinger(0))
		defer clients[at].Close()
	}
	value := make([]byte, 100)
	repeat("transactions", s.clients, s, func(place, _ int) error {
		one := clients[place]
		if err := one.BeginTransaction(); err != nil {
			return err
		}
		for range s.records {
			one.Produce(ctx, &kgo.Record{Value: value}, nil)
		}
		if err := one.Flush(ctx); err != nil {
			return err
		}
		return one.EndTransaction(ctx, kgo.TryCommit)
	})
}
