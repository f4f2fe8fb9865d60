// better-auth with its phone-number plugin, on PostgreSQL and, with REDIS_URL, Redis as secondary storage.
// Codes are printed instead of sent. Rate limits are on, with high numbers.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { phoneNumber } from "better-auth/plugins";
import Redis from "ioredis";
import pg from "pg";

const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : null;
const limit = { window: 60, max: 1_000_000 };
const options = {
  baseURL: `http://127.0.0.1:${process.env.PORT}`,
  secret: process.env.SECRET,
  telemetry: { enabled: false },
  database: new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 }),
  rateLimit: {
    enabled: true, ...limit, storage: redis ? "secondary-storage" : "memory",
    customRules: { "/phone-number/send-otp": limit, "/phone-number/verify": limit },
  },
  ...(redis && {
    secondaryStorage: {
      get: (key) => redis.get(key),
      set: (key, value, ttl) => (ttl ? redis.set(key, value, "EX", ttl) : redis.set(key, value)),
      getAndDelete: (key) => redis.getdel(key),
      increment: (key, ttl) => redis.multi().incr(key).expire(key, ttl, "NX").exec().then(([[, count]]) => count),
      delete: (key) => redis.del(key).then(() => undefined),
    },
  }),
  plugins: [phoneNumber({
    sendOTP: ({ phoneNumber: number, code }) => { console.log(`message to ${number}: your code is: ${code}.`); },
    signUpOnVerification: { getTempEmail: (number) => `${number.slice(1)}@phone.example.com` },
    phoneNumberValidator: (number) => /^\+[1-9]\d{6,14}$/.test(number),
  })],
};
await (await getMigrations(options)).runMigrations();
const server = createServer(toNodeHandler(betterAuth(options)));
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
