package node

import (
	"net/netip"
	"time"
)

// NewRates lets tests look at the limit on connections by itself.
func NewRates(perMinute int) func(addr string) bool {
	var r rates
	return func(addr string) bool { return r.allow(netip.MustParseAddr(addr), perMinute, time.Now()) }
}
