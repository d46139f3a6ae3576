package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// headerServer names the real server in every HTTP answer.
const headerServer = "X-Real-Server"

// serveHTTP serves the demo's pages in the clear and over TLS.
func serveHTTP(ctx context.Context, group *errgroup.Group, name, dir string) error {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, certificateFile), filepath.Join(dir, keyFile))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           pages(name),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that hang up are no news
	}
	context.AfterFunc(ctx, func() { server.Close() })
	for _, port := range []int{portHTTP, portShort, portHTTPS} {
		l, err := listen(ctx, port)
		if err != nil {
			return err
		}
		if port == portHTTPS {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
		}
		group.Go(func() error { return servePages(ctx, server, l) })
	}
	return nil
}

func servePages(ctx context.Context, server *http.Server, l net.Listener) error {
	err := server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return ended(ctx, err)
}

// pages is what a real server has: its name, and a file of any length.
func pages(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerServer, name)
		fmt.Fprintf(w, "real server %s, asked by %s\n", name, r.RemoteAddr)
	})
	mux.HandleFunc("GET "+downloadPath, func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
		if err != nil || size < 0 {
			http.Error(w, "bytes: a number is needed", http.StatusBadRequest)
			return
		}
		w.Header().Set(headerServer, name)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		io.CopyN(w, downloadContent(), size)
	})
	return mux
}

const downloadPath = "/download"

// downloadContent is the file that every server has: endless, and of bytes that
// a client can make again to compare.
func downloadContent() io.Reader {
	return rand.NewChaCha8([32]byte{'x', 'l', 'v', 's'})
}
