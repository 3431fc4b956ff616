# syntax=docker/dockerfile:1
# Two images: `node` (the default) for gateways, and for collectors with a ClickHouse server; `whole` has chDB, too, for `tidegate start`.
#   docker build -t tidegate .            docker build -t tidegate-whole --target whole .

FROM node:24-bookworm-slim AS build
WORKDIR /opt/tidegate
COPY package.json package-lock.json .npmrc ./
# without the scripts: `prepare` would build what is not here yet
RUN npm ci --omit=optional --ignore-scripts
COPY . .
RUN npx tsc -p tsconfig.json && rm -f dist/.tsbuildinfo && find dist -name '*.map' -delete

FROM node:24-bookworm-slim AS packages
WORKDIR /opt/tidegate
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-bookworm-slim AS packages-with-chdb
WORKDIR /opt/tidegate
COPY package.json package-lock.json .npmrc ./
# chDB's own scripts fetch and build its engine
RUN npm ci --omit=dev --ignore-scripts && npm rebuild chdb

FROM node:24-bookworm-slim AS base
ENV NODE_ENV=production
WORKDIR /opt/tidegate
COPY --from=build /opt/tidegate/package.json ./
COPY --from=build /opt/tidegate/dist dist
COPY --from=build /opt/tidegate/migrations migrations
# 1000 is the image's user `node`; a volume made for this folder takes its owner
RUN mkdir -p /var/lib/tidegate && chown 1000:1000 /var/lib/tidegate
USER 1000:1000
VOLUME /var/lib/tidegate
EXPOSE 8080 9180
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["start", "-c", "/etc/tidegate/tidegate.yaml"]

FROM base AS whole
COPY --from=packages-with-chdb /opt/tidegate/node_modules node_modules

FROM base AS node
COPY --from=packages /opt/tidegate/node_modules node_modules
