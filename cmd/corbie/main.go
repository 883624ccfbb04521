// Command corbie is the master: it polls nodes, keeps every value, serves pages, pages people on levels and
// forecasts what will be full. Its other verbs look at, check and export what a master has.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends a stop that takes too long.
	context.AfterFunc(ctx, stop)
	if os.Getenv("GOGC") == "" {
		go collectGarbage(ctx)
	}
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
