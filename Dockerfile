# The image: one static program on an empty base. It writes no file, so it runs
# with --read-only, without capabilities and as any user.
#
#   docker build -t shaveet .
#   docker run --read-only --cap-drop ALL --network container:BACKEND shaveet
#
# The second line is the recommended form: Shaveet shares the network of its
# backend, which then finds the admin API on loopback, where it needs no token.
# Only the public door, 8083, can be reached from other containers.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/shaveet ./cmd/shaveet

FROM scratch
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/shaveet /shaveet
USER 65532:65532
EXPOSE 8083
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/shaveet", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/shaveet"]
CMD ["serve", "--public-listen", ":8083"]
