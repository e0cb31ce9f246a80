// The App that benchmarks/bench_webhooks.py measures ours against: verify, parse, ask who may, answer once.
// It has no queue and no journal, as Probot has none: what it was doing when it dies is gone.
import { createServer } from "node:http";
import { createNodeMiddleware, createProbot, ProbotOctokit } from "probot";

const { APP_ID, PRIVATE_KEY, WEBHOOK_SECRET, API, BOT_LOGIN } = process.env;
// Its own throttling asks for three seconds between two comments; ours is off in the benchmark too.
const Octokit = ProbotOctokit.defaults((given) => ({ ...given, throttle: { ...given.throttle, enabled: false } }));

function app(probot) {
  probot.on("issue_comment.created", async (context) => {
    const { comment, sender } = context.payload;
    const line = comment.body.split("\n").find((text) => text.startsWith("/optr "));
    if (sender.type === "Bot" || line !== "/optr status") return;
    const { data } = await context.octokit.rest.repos.getCollaboratorPermissionLevel(
      context.repo({ username: sender.login }),
    );
    if (data.permission !== "write" && data.permission !== "admin") return;
    await context.octokit.rest.reactions.createForIssueComment(
      context.repo({ comment_id: comment.id, content: "eyes" }),
    );
    const marker = `<!-- optr:answer-${comment.id} -->`;
    const said = await context.octokit.rest.issues.listComments(context.issue({ per_page: 100 }));
    if (said.data.some((one) => one.user?.login === BOT_LOGIN && one.body.startsWith(marker))) return;
    await context.octokit.rest.issues.createComment(context.issue({ body: `${marker}\nNo run yet.` }));
  });
}

const probot = createProbot({
  overrides: {
    appId: APP_ID,
    privateKey: PRIVATE_KEY,
    secret: WEBHOOK_SECRET,
    baseUrl: API,
    logLevel: "error",
    Octokit,
  },
});
const middleware = await createNodeMiddleware(app, { probot, webhooksPath: "/webhook" });
const server = createServer((request, response) => middleware(request, response, () => response.writeHead(404).end()));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
