package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestALargeMasterLetsLessGarbageLieThanASmallOne(t *testing.T) {
	for live, want := range map[uint64]int{0: 100, 30 << 20: 100, 256 << 20: 100, 512 << 20: 50, 1 << 30: 25, 8 << 30: 25} {
		if got := garbageFor(live); got != want {
			t.Errorf("with %d MB in use it is %d %%, want %d %%", live>>20, got, want)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	held := make([]byte, 512<<20)
	runtime.GC()
	ctx, end := context.WithCancel(t.Context())
	end()
	collectGarbage(ctx)
	if got := debug.SetGCPercent(77); got > 50 || got < leastGarbage {
		t.Errorf("with half a gigabyte in use it is %d %%", got)
	}
	runtime.KeepAlive(held)
}
