/** What a reading shows. */
const number = async (page, id) => Number((await page.locator(`#${id} .value`).textContent()).replaceAll(',', ''));

/** A page of the playground whose model has been measured, with what a test asks of it. */
export async function openPlayground(browser, url, options = {}) {
  const page = await browser.newPage(options);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('console', (message) => message.type() === 'warning' && page.problems.push(message.text()));
  page.readings = async () => ({
    loss: await number(page, 'loss'),
    tokensPerSecond: await number(page, 'tokensPerSecond'),
    kvBytes: await number(page, 'kvBytes'),
    text: await page.locator('#text').textContent(),
    off: await page.locator('.module[aria-pressed="false"]').count(),
  });
  /** The readings, when nothing is under way any more. */
  page.settled = async () => {
    // What a click or a key sets off begins at once; what files do, when they are read.
    await page.waitForTimeout(300);
    await page.locator('body:has(#status:empty):not(:has([aria-busy="true"]))').waitFor({ timeout: 60_000 });
    return page.readings();
  };
  await page.goto(url);
  await page.settled();
  return page;
}
