# The binary alone, from scratch (the default; for `type = command` programs that you copy beside it):
#     docker build -t passenger .
# Ruby, Rack and the sample application, on port 3000, passenger as PID 1:
#     docker build -t passenger-ruby --target ruby .  &&  docker run --rm -p 3000:3000 passenger-ruby
# For an application of your own: FROM passenger-ruby, and COPY it over /srv/app.

FROM debian:bookworm-slim AS build
WORKDIR /src
# The packages are a layer of their own: a changed source file does not fetch them again.
COPY build.sh ./
RUN ./build.sh packages
COPY passenger.c ./
COPY modules modules
RUN ./build.sh build && mkdir -p /image/run /image/tmp && chmod 1777 /image/tmp && cp build/passenger /image/

FROM debian:bookworm-slim AS ruby
RUN apt-get update && apt-get install -y --no-install-recommends ruby ruby-rack && rm -rf /var/lib/apt/lists/* \
	&& useradd --system --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /src/build/passenger /usr/local/bin/passenger
RUN ln -s passenger /usr/local/bin/passenger-status && ln -s passenger /usr/local/bin/passenger-config
# The application runs as the owner of its config.ru, the balancer as a user of its own; PID 1 stays root to start them.
COPY --chown=app:app test/sample /srv/app
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/passenger", "serve"]
# 0.0.0.0, so that the published port reaches it.  The processes' own doors stay on 127.0.0.1 inside the container:
#     docker exec CONTAINER passenger status --verbose
CMD ["--listen", "0.0.0.0:3000", "/srv/app"]

# Nothing but the binary, and the two empty folders for its instance directory and its unlinked buffer files.
FROM scratch
COPY --from=build /image/ /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/passenger", "serve"]
