package main

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// hostName is this machine's full name as far as it is known: /etc/hosts or the name service may know more than
// the kernel does. A name service that is away does not hold up the node for long.
func hostName(ctx context.Context) string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, name)
	if err != nil || !strings.HasPrefix(full, name+".") {
		return name
	}
	if full = strings.TrimSuffix(full, "."); full == "" {
		return name
	}
	return full
}
