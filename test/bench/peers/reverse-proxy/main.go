// A reverse proxy as Go's standard library makes one, tuned: connections to the upstream are kept (by default two a host), and
// buffers are used again.
package main

import (
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *bufferPool) Put(p []byte) { b.pool.Put(&p) }

func main() {
	upstream, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     5 * time.Minute,
			DisableCompression:  true,
		},
		BufferPool: &bufferPool{sync.Pool{New: func() any { b := make([]byte, 32*1024); return &b }}},
	}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
