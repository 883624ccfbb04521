package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie about before it is collected, in percent of what is in use. A large master holds a gigabyte that stays for as long as it runs: as
// much garbage again would be a waste. A small one has the memory, and would rather save the work.
const (
	garbageBytes  = 256 << 20
	leastGarbage  = 25
	mostGarbage   = 100
	lookAtGarbage = time.Second
)

// garbageFor is the percentage for so many bytes in use.
func garbageFor(live uint64) int {
	return int(min(mostGarbage, max(leastGarbage, garbageBytes*100/max(1, live)))) //nolint:gosec // at most 100
}

// collectGarbage keeps the percentage right as memory grows, until ctx ends.
func collectGarbage(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(lookAtGarbage)
	defer tick.Stop()
	for percent := 0; ; {
		metrics.Read(sample)
		if now := garbageFor(sample[0].Value.Uint64()); now != percent {
			percent = now
			debug.SetGCPercent(percent)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
